//! OpenCLIP's `open_clip_config.json`, and inference of the configuration of OpenAI's models, which have none.

mod defaults;
mod infer;
mod read;
mod write;

pub(super) use infer::infer;
pub(super) use read::from_file;
pub(super) use write::to_json;
