//! Federated fine-tuning of CLIP: methods, local training, evaluation, experiments.
