//! Names, without a network.

use flora_hub::{HubConfig, HubError, KNOWN, resolve, resolve_adapter, resolve_with};

#[test]
fn the_model_that_ships() {
    let folder = resolve("clip-nano", &mut |_| {}).unwrap();
    assert!(folder.join("model.safetensors").is_file());
    assert_eq!(resolve("models/clip-nano", &mut |_| {}).unwrap(), folder);
    let file = folder.join("model.safetensors");
    assert_eq!(resolve(file.to_str().unwrap(), &mut |_| {}).unwrap(), file);
}

#[test]
fn an_unknown_word() {
    let message = resolve("clip-giga", &mut |_| {}).unwrap_err().to_string();
    for known in &KNOWN {
        assert!(message.contains(known.name), "{message}");
    }
    assert!(message.contains("hf:owner/name") && message.contains("looked in"), "{message}");

    let message = resolve("models/clip-giga", &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("FLORA_HOME") && !message.contains("vit-base-patch32"), "{message}");
}

#[test]
fn adapters_have_no_known_names() {
    for name in ["clip-nano", "nope", "runs/nope/adapter"] {
        let error = resolve_adapter(name, &mut |_| {}).unwrap_err();
        assert!(matches!(error, HubError::NotFound { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains("looked in") && message.contains("adapter_config.json"),
            "{message}"
        );
        assert!(!message.contains("vit-base-patch32"), "{message}");
    }
}

/// A snapshot that Python downloaded is found, with or without the feature `hub`.
#[test]
fn the_cache_is_read() {
    let cache = tempfile::tempdir().unwrap();
    let mut config = HubConfig::new(cache.path());
    config.offline = true;
    let source = "hf:ada/clip".parse().unwrap();
    let error = resolve_with(&source, &config, &mut |_| {}).unwrap_err();
    if cfg!(feature = "hub") {
        assert!(matches!(error, HubError::Offline { .. }), "{error:?}");
    } else {
        assert!(matches!(error, HubError::NotBuilt { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("--features hub"), "{message}");
        assert!(message.contains("hf download ada/clip --local-dir models/clip"), "{message}");
    }

    let commit = "0123456789abcdef0123456789abcdef01234567";
    let repository = cache.path().join("models--ada--clip");
    let snapshot = repository.join("snapshots").join(commit);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(repository.join("refs")).unwrap();
    std::fs::write(repository.join("refs/main"), commit).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::write(snapshot.join(name), "{}").unwrap();
    }
    assert_eq!(resolve_with(&source, &config, &mut |_| {}).unwrap(), snapshot);
}
