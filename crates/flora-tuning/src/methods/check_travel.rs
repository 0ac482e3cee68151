//! Checks that compression, privacy and secure aggregation fit together.

use flora_compression::Codec;
use flora_data::Participants;
use flora_federation::{Attack, BelowQuorum, SelectionConfig};
use flora_privacy::{Accountant, ClearMetrics, PrivacyConfig, SampleConfig};

use crate::{Experiment, LossKind, MethodName};

/// Checks these settings; an error names the field.
pub(super) fn check(experiment: &Experiment) -> Result<(), String> {
    check_codecs(experiment)?;
    check_secure(experiment)?;
    let Some(privacy) = &experiment.federation.privacy else { return Ok(()) };
    privacy.check().map_err(|error| format!("federation.privacy.{error}"))?;
    let refuse = |why: String| Err(format!("federation.privacy: {why}"));
    let (federation, kind) = (&experiment.federation, privacy.kind());
    if experiment.rounds() == 0 {
        return refuse(
            "nothing is trained, so there is nothing to protect; leave it out".to_owned(),
        );
    }
    if federation.participants == Participants::LocalOnly {
        return refuse("clients that are \"alone\" send nothing; leave it out".to_owned());
    }
    if matches!(federation.selection, SelectionConfig::PowerOfChoice { .. }) {
        return refuse(
            "power-of-choice selects by the clients' losses, which reveal information about their images; choose \
             another \
             federation.selection"
                .to_owned(),
        );
    }
    if federation.strategy.needs_plain_sgd() {
        return refuse(format!(
            "control variates are sent beside the update without protection; choose another federation.strategy \
             than {}",
            federation.strategy.name()
        ));
    }
    if experiment.method.name.is_closed_form() && kind != "sample" {
        return refuse(format!(
            "the sums of {} contain all images of a client, and noise that hides the client would destroy them; choose \
             kind = \"sample\"",
            experiment.method.name.as_str()
        ));
    }
    if kind != "central" && federation.below_quorum == BelowQuorum::Retry {
        return Err(format!(
            "federation.below_quorum: with {kind} privacy a repeated round spends twice, but the budget covers each \
             round \
             once; choose \"fail\" or \"skip\""
        ));
    }
    if privacy.metrics() == ClearMetrics::Clear && federation.secure.is_some() {
        return Err(
            "federation.privacy.metrics: under masks clients send no losses; leave \"clear\" out"
                .to_owned(),
        );
    }
    if kind == "local" && federation.strategy.shares().is_some() {
        return refuse(format!(
            "with {} a part of the adapter stays with the client, and its scores reveal it without noise; choose \
             another \
             federation.strategy",
            federation.strategy.name()
        ));
    }
    match privacy {
        PrivacyConfig::Local(_) if experiment.output.keep_clients => Err(
            "output.keep_clients: with local privacy, trained parameters leave a client only with noise; leave it out"
                .to_owned(),
        ),
        PrivacyConfig::Central(_) => check_central(experiment),
        PrivacyConfig::Sample(_) => check_sample(experiment),
        _ => Ok(()),
    }
}

fn check_codecs(experiment: &Experiment) -> Result<(), String> {
    let federation = &experiment.federation;
    let (upload, download) = (federation.upload, federation.download);
    upload.check().map_err(|problem| format!("federation.upload.{problem}"))?;
    download.check().map_err(|problem| format!("federation.download.{problem}"))?;
    let is_half = matches!(upload, Codec::F32 | Codec::F16 | Codec::Bf16);
    if experiment.method.name.is_closed_form() && !is_half {
        return Err(format!(
            "federation.upload: the sums of {} need full precision, and {} keeps few digits; choose \"f32\" or \"f16\"",
            experiment.method.name.as_str(),
            upload.name()
        ));
    }
    if experiment.method.name.is_closed_form() && !download.is_lossless() {
        return Err(format!(
            "federation.download: {} sends sums, which {} would spoil; choose \"f32\"",
            experiment.method.name.as_str(),
            download.name()
        ));
    }
    if download.is_sparse() {
        return Err(format!(
            "federation.download: {} sends the largest values of an update, which does not suit a model; choose \
             \"int8\", \"int4\" \
             or \"eden\"",
            download.name()
        ));
    }
    if federation.strategy.needs_plain_sgd() && !(upload.is_lossless() && download.is_lossless()) {
        let (field, name) = match upload.is_lossless() {
            true => ("download", download.name()),
            false => ("upload", upload.name()),
        };
        return Err(format!(
            "federation.{field}: the errors of {name} make control variates drift away from the clients' own; \
             choose \"f32\", or another strategy than {}",
            federation.strategy.name()
        ));
    }
    if federation.error_feedback == Some(true) && is_half {
        return Err(format!(
            "federation.error_feedback: with upload = \"{}\" there is no compression error to feed back; choose \
             \"int8\", \"int4\", \"eden\", \"top-k\" \
             or \"ternary\", or leave it out",
            upload.name()
        ));
    }
    Ok(())
}

fn check_secure(experiment: &Experiment) -> Result<(), String> {
    let federation = &experiment.federation;
    if federation.secure.is_none() {
        return Ok(());
    }
    let refuse = |why: String| Err(format!("federation.secure: {why}"));
    let is_closed = experiment.method.name.is_closed_form();
    if experiment.rounds() == 0 {
        return refuse("nothing is trained, so there is no sum; leave it out".to_owned());
    }
    if matches!(federation.participants, Participants::LocalOnly | Participants::Central) {
        return refuse(
            "a sum hides a client among others; choose federation.participants = \"all\""
                .to_owned(),
        );
    }
    if let Some(name) = federation.strategy.needs_each().filter(|_| !is_closed) {
        return refuse(format!(
            "{name} is not supported under masks, where the server knows only the mean update; choose \"fedavg\", a server \
             optimizer, \"fedprox\", \"ffa\", \"fedsvd\" or fed-sb with bases = \"random\" as federation.strategy"
        ));
    }
    if !federation.upload.is_lossless() {
        return refuse(format!(
            "masked values are rounded to integers already, and {} cannot compress them; choose federation.upload = \"f32\", \
             and fewer bits by federation.secure = {{ bits = 8, norm = 1.0 }}",
            federation.upload.name()
        ));
    }
    if let Some(PrivacyConfig::Central(_)) = federation.privacy {
        return refuse(
            "the server cannot clip what it does not see; choose federation.privacy of kind \"local\" or \"sample\"".to_owned(),
        );
    }
    if federation.max_update_norm.is_some() {
        return refuse(
            "the server cannot measure masked updates; leave federation.max_update_norm out, and choose secure.range"
                .to_owned(),
        );
    }
    if matches!(federation.selection, SelectionConfig::PowerOfChoice { .. }) {
        return refuse(
            "power-of-choice selects by losses, which clients do not send; choose another federation.selection"
                .to_owned(),
        );
    }
    let may_be_few = matches!(federation.selection, SelectionConfig::Poisson { .. });
    if may_be_few && federation.below_quorum == BelowQuorum::Fail {
        return refuse(
            "a draw of one or two clients cannot be masked, and would end the run; choose federation.below_quorum = \
             \"skip\""
                .to_owned(),
        );
    }
    if experiment.faults.spoils() {
        return refuse(
            "faults of single answers (faults.nan, wrong_shape, huge, stale) are not possible under masks; leave \
             them out, and let \
             clients fail or be late"
                .to_owned(),
        );
    }
    if experiment.output.keep_clients {
        return refuse(
            "clients send nothing without masks; leave output.keep_clients out".to_owned(),
        );
    }
    if experiment.method.closed_form.start.is_some() {
        return refuse(
            "sums that a run begins with exceed the range of the masked integers; leave method.closed_form.start \
             out".to_owned(),
        );
    }
    if matches!(experiment.faults.attack, Some(attack) if !matches!(attack, Attack::LabelFlip { .. }))
    {
        return refuse(
            "attacks need individual replies; choose \"label-flip\", or leave faults.attack out"
                .to_owned(),
        );
    }
    Ok(())
}

fn check_central(experiment: &Experiment) -> Result<(), String> {
    let federation = &experiment.federation;
    let refuse = |why: String| Err(format!("federation.privacy: {why}"));
    if let Some(name) = federation.strategy.needs_each() {
        return refuse(format!(
            "{name} is not supported with central privacy, which shows it only the noised mean update; choose \
             \"fedavg\", a server optimizer, \"fedprox\", \"ffa\", \"fedsvd\" or fed-sb with bases = \"random\" as \
             federation.strategy"
        ));
    }
    if federation.quorum > 1 {
        return refuse(format!(
            "whether {} clients answered would reveal who did; with central privacy every round counts, and \
             federation.quorum is 1",
            federation.quorum
        ));
    }
    if federation.max_update_norm.is_some() {
        return refuse(
            "updates are scaled down to `clip`, not rejected; leave federation.max_update_norm out"
                .to_owned(),
        );
    }
    match federation.selection {
        SelectionConfig::Fraction {} | SelectionConfig::Poisson { .. } => Ok(()),
        _ => refuse(format!(
            "no accountant supports {}; choose \"poisson\" or \"fraction\" as federation.selection",
            federation.selection.kind()
        )),
    }
}

fn check_sample(experiment: &Experiment) -> Result<(), String> {
    let (method, training) = (&experiment.method, &experiment.training);
    let refuse = |why: &str| Err(format!("federation.privacy: {why}"));
    match method.name {
        MethodName::Ridge => return Ok(()),
        name if name.is_closed_form() => {
            return refuse("only ridge supports noised sums; choose method.name = \"ridge\"");
        }
        MethodName::Flora => {}
        _ => return refuse("only \"flora\" and \"ridge\" protect examples; choose one of them"),
    }
    let privacy = &experiment.federation.privacy;
    if let Some(PrivacyConfig::Sample(SampleConfig { accountant: Accountant::Exact, .. })) = privacy
    {
        return refuse(
            "batches are sampled, and accountant = \"exact\" supports full participation only; choose \"pld\"",
        );
    }
    if method.loss() == LossKind::Infonce {
        return refuse(
            "with infonce, the gradient of an example depends on all others in its batch; choose method.loss = \
             \"class-ce\"",
        );
    }
    if !method.softmax.is_all() || !training.class_weights.is_none() {
        return refuse(
            "its softmax or its class weights would reveal how many images a client has of a class; choose \
             method.softmax = \"all\" and training.class_weights = \"none\"",
        );
    }
    if method.lora.towers != flora_lora::Towers::Text {
        return refuse(
            "the gradients of single examples are known only with frozen image features; choose method.lora.towers = \
             \"text\"",
        );
    }
    if method.head.is_some() {
        return refuse(
            "the classifier in method.head is part of every example's loss; train without it",
        );
    }
    if experiment.federation.strategy.estimates() {
        return refuse(
            "the first round of fed-sb is answered by a gradient of all images; choose { kind = \"fed-sb\", bases = \"random\" } as \
             federation.strategy, or another",
        );
    }
    Ok(())
}
