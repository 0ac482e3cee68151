//! Properties of federated tuning, tested on a tiny random CLIP and folders of coloured noise.

mod bad_input;
mod begun;
mod cache;
mod central;
mod class_weights;
mod closed_form;
mod common;
mod desk;
mod determinism;
mod dropout;
mod failing;
mod fedfft;
mod init_adapter;
mod keep_clients;
mod methods;
mod optimizer;
mod own_parts;
mod parity;
mod participants;
mod precision;
mod proximal;
mod resume;
#[cfg(target_os = "linux")]
mod sharing;
mod sites;
mod softmax;
mod states;
mod strategies;
mod towers;
mod trained;
mod travel;
mod validation;
mod views;
mod vision_cache;
mod zero_shot;
