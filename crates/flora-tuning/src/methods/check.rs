//! Settings that do not go together with the method.

use flora_data::Participants;
use flora_lora::Towers;

use crate::{Experiment, LossKind, MethodName, PathKind};

/// What a method makes nothing of, by field.
pub(crate) fn check(experiment: &Experiment) -> Result<(), String> {
    let method = &experiment.method;
    let name = method.name.as_str();
    if method.method().has_head() && method.loss() == LossKind::Infonce {
        return Err(format!(
            "method.loss: the head of {name} knows classes and no texts; choose \"class-ce\""
        ));
    }
    let is_closed = method.name.is_closed_form();
    if method.init_adapter.is_some() && !is_closed && method.name != MethodName::Flora {
        return Err(format!(
            "method.init_adapter: {name} trains no adapter; choose method.name = \"flora\""
        ));
    }
    if method.head.is_some() && method.name != MethodName::Flora {
        return Err(format!(
            "method.head: {name} trains no adapters beside a classifier; choose method.name = \"flora\""
        ));
    }
    if method.head.is_some() && method.lora.towers != Towers::Text {
        return Err("method.head: its classifier was solved for the images of the frozen vision tower; choose \
                    method.lora.towers = \"text\""
            .to_owned());
    }
    let naive = method.path == PathKind::Naive;
    if naive && (is_closed || method.head.is_some()) {
        return Err(format!(
            "method.path: \"naive\" shows every image to the vision tower again and again, and the classifier of {} saw \
             it once; choose \"fast\"",
            if is_closed { name } else { "method.head" }
        ));
    }
    method.closed_form.check()?;
    if is_closed { check_closed_form(experiment) } else { check_trained(experiment) }
}

fn check_closed_form(experiment: &Experiment) -> Result<(), String> {
    let name = experiment.method.name.as_str();
    if experiment.method.loss == Some(LossKind::Infonce) {
        return Err(format!(
            "method.loss: {name} is solved for classes, and not from the texts of a batch; leave it out"
        ));
    }
    if !experiment.training.class_weights.is_none() {
        return Err(format!(
            "training.class_weights: {name} adds up all images alike, so that it does not matter who holds which; choose \
             \"none\""
        ));
    }
    if !experiment.method.softmax.is_all() {
        return Err(format!(
            "method.softmax: {name} is solved without a loss, and its result does not depend on who holds which images; \
             leave it out"
        ));
    }
    let closed_form = &experiment.method.closed_form;
    if experiment.federation.participants == Participants::Alone && closed_form.start.is_some() {
        let field = if closed_form.leaving { "leaving" } else { "start" };
        return Err(format!(
            "method.closed_form.{field}: clients that are \"alone\" add nothing to the sums of others and take nothing away; \
             name those who come or leave as federation.participants"
        ));
    }
    if experiment.federation.fraction < 1.0 {
        return Err(format!(
            "federation.fraction: {name} has one round, and nobody would ask the other clients; choose 1"
        ));
    }
    Ok(())
}

/// What belongs to the methods in closed form alone, and would do something else than its author thinks.
fn check_trained(experiment: &Experiment) -> Result<(), String> {
    let method = &experiment.method;
    if method.closed_form.start.is_some() {
        return Err(format!(
            "method.closed_form.start: {} does not begin with sums; choose method.name = \"ridge\"",
            method.name.as_str()
        ));
    }
    if !method.closed_form.is_default() {
        return Err(match method.head {
            Some(_) => "method.closed_form: the classifier in method.head was solved with settings of its own; leave these \
                        out, or solve it anew with them"
                .to_owned(),
            None => format!(
                "method.closed_form: {} is not solved in closed form; leave it out, or choose method.name = \"ridge\", \
                 \"lda\", \"gda\" or \"ncm\"",
                method.name.as_str()
            ),
        });
    }
    Ok(())
}
