use super::{Experiment, LossKind};
use crate::ClientState;

const LEAST: &str = "name = 'x'\nmodel.path = 'm'\ndata.path = 'd'\n\
                     partition = { kind = 'iid', clients = 10 }\n";

fn message(text: &str, set: &[&str]) -> String {
    let set: Vec<String> = set.iter().map(|&s| s.into()).collect();
    Experiment::from_toml("test.toml", text, &set).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_the_papers_and_survive_a_round_trip() {
    let experiment = Experiment::from_toml("test.toml", LEAST, &[]).unwrap();
    assert_eq!(experiment.training.rounds, 50);
    assert_eq!(experiment.training.learning_rate, 5e-5);
    assert_eq!(experiment.training.betas, [0.9, 0.98]);
    assert_eq!((experiment.method.lora.r, experiment.method.lora.scale()), (2, 32.0));
    assert_eq!(experiment.method.loss(), LossKind::Infonce);
    let again = Experiment::from_toml("again", &experiment.to_toml(), &[]).unwrap();
    assert_eq!(again.to_toml(), experiment.to_toml());
    // A custom method has its own usual loss: an unset loss is not filled in.
    assert_eq!((experiment.method.loss, again.method.loss), (None, Some(LossKind::Infonce)));
    let on_disk = ["federation.client_state=disk".to_owned()];
    let on_disk = Experiment::from_toml("disk", &experiment.to_toml(), &on_disk).unwrap();
    assert_eq!(on_disk.federation.client_state, ClientState::Disk);
    assert!(on_disk.to_toml().contains("client_state = \"disk\""));
    for set in [
        "data.validation=0.25",
        "method.softmax=balanced",
        "model.precision=bf16",
        "training.class_weights={ cat = 2.0, \"a dog\" = 0.5 }",
    ] {
        let with = Experiment::from_toml("with", LEAST, &[set.to_owned()]).unwrap();
        assert_ne!(with.to_toml(), experiment.to_toml());
        let again = Experiment::from_toml("again", &with.to_toml(), &[]).unwrap();
        assert_eq!(again.to_toml(), with.to_toml());
        assert_eq!((again.training, again.data), (with.training, with.data));
        assert_eq!(again.method.softmax, with.method.softmax);
    }
}

#[test]
fn mistakes_are_named() {
    let unknown = message(&format!("{LEAST}[training]\nlearnig_rate = 1.0"), &[]);
    assert!(unknown.contains("learnig_rate") && unknown.contains("test.toml"), "{unknown}");
    let unknown = message(LEAST, &["training.learnig_rate=1.0"]);
    assert!(unknown.contains("learnig_rate"), "{unknown}");
    for (set, field) in [
        ("training.learning_rate=-1.0", "training.learning_rate"),
        ("name=../x", "name"),
        ("name=", "name: \"\" is not"),
        ("name=\"   \"", "name: \"   \" is not a plain name"),
        ("name=\"a\\u0000b\"", r#"name: "a\0b" is not a plain name"#),
        ("name=\"a\\u001b[31m\"", r#"name: "a\u{1b}[31m" is not a plain name"#),
        ("name=\"a\\u202eb\"", r#"name: "a\u{202e}b" is not a plain name"#),
        ("model.path=", "model.path: is empty; name a file"),
        ("data.path=", "data.path: is empty; name a file"),
        ("data.root=", "data.root: is empty; name a folder"),
        ("data.cache=", "data.cache: is empty; name a folder"),
        ("partition={ kind = 'file', path = '' }", "partition.path: is empty"),
        (
            "partition={ kind='few-shot', shots=1, of={ kind='file', path='' } }",
            "partition.path: is empty",
        ),
        ("method.init_adapter=", "method.init_adapter: is empty; name a folder"),
        ("federation.threads=100000", "federation.threads"),
        ("training.batch_size=0", "training.batch_size"),
        ("training.batch_size=1", "class-ce"),
        ("model.precision=f8", "unknown precision; choose f32, bf16 or f16"),
        ("training.betas=[0.9, 1.0]", "training.betas"),
        ("training.weight_decay=-0.1", "training.weight_decay"),
        ("training.class_weights=even", "balanced"),
        ("training.class_weights={ cat = 0.0 }", "training.class_weights: 0 for \"cat\""),
        ("data.validation=0.7", "below 0.5"),
        ("training.patience=3", "set data.validation"),
        ("training.patience=0", "patience"),
        ("federation.fraction=0.0", "federation.fraction"),
        ("federation.client_state=cloud", "cloud"),
        ("method.lora.r=0", "method.lora.r"),
        ("method.softmax=some", "restricted"),
        ("method.name=fedsomething", "fedsomething"),
        ("federation.quorum=0", "federation.quorum"),
        ("federation.deadline=-1.0", "federation.deadline"),
        ("federation.below_quorum=shrug", "shrug"),
        ("faults.fail=1.5", "faults.fail"),
        ("faults.fial=0.5", "fial"),
        ("output.keep_evry=1", "keep_evry"),
        ("output={ save_every = 2, keep_every = 3 }", "output.keep_every: 3"),
        ("output={ save_every = 0, keep_every = 3 }", "output.save_every, which is 0"),
    ] {
        let message = message(LEAST, &[set]);
        assert!(message.contains(field), "{message}");
    }
}
