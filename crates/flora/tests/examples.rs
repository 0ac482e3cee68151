//! The programs accept the configurations in `examples/`.

use std::path::Path;

use flora::pretrain::PretrainConfig;
use flora::tuning::{Experiment, Sweep};

#[test]
fn every_configuration_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let document: toml::Table = text.parse().unwrap();
        let problem = if document.contains_key("rows") || document.contains_key("axes") {
            Sweep::from_file(&path).and_then(|sweep| sweep.runs()).err().map(|it| it.to_string())
        } else if document.contains_key("epochs") {
            PretrainConfig::from_file(&path).err().map(|it| it.to_string())
        } else {
            Experiment::from_file(&path, &[]).err().map(|it| it.to_string())
        };
        assert_eq!(problem, None, "{}", path.display());
        read += 1;
    }
    assert!(read >= 5, "{read} configurations");
}
