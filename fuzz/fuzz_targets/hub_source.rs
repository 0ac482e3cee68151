//! Whatever the name of a model, it reads the same again as it is shown.
#![no_main]

use flora_hub::{HubModel, ModelSource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(source) = text.parse::<ModelSource>() else { return };
    assert_eq!(source.to_string(), text);
    assert_eq!(source.to_string().parse::<ModelSource>().expect("it was read"), source);
    if let ModelSource::Hub(model) = source {
        // Each becomes part of an address and of a path below the cache folder.
        for part in [model.owner(), model.name(), model.revision().unwrap_or("main")] {
            assert!(!part.is_empty() && !part.starts_with('/') && !part.ends_with('/'));
            assert!(!part.contains("..") && !part.contains("//"));
            assert!(
                part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
            );
        }
        assert!(!model.owner().contains('/') && !model.name().contains('/'));
        let again = HubModel::new(model.owner(), model.name(), model.revision());
        assert_eq!(again.expect("it was read"), model);
    }
});
