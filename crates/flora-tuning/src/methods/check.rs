//! Checks of settings that do not fit the method.

use flora_data::Participants;
use flora_federation::Attack;
use flora_lora::Towers;
use flora_strategies::StrategyConfig;

use super::check_travel;
use crate::{Experiment, Implementation, LossKind, MethodName, OptimizerName, Schedule, Trainable};

/// Rejects settings that a method does not use, by field.
pub(crate) fn check(experiment: &Experiment) -> Result<(), String> {
    let method = &experiment.method;
    let name = method.name.as_str();
    if method.method().has_head() && method.loss() == LossKind::Infonce {
        return Err(format!(
            "method.loss: the head of {name} uses classes instead of texts; choose \"class-ce\""
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
    let naive = method.implementation == Implementation::Naive;
    if naive && (is_closed || method.head.is_some()) {
        return Err(format!(
            "method.implementation: \"naive\" encodes every image in every step, but the classifier of {} uses each image \
             once; choose \"fast\"",
            if is_closed { name } else { "method.head" }
        ));
    }
    method.closed_form.check()?;
    check_strategy(experiment)?;
    check_attack(experiment)?;
    check_travel::check(experiment)?;
    if is_closed { check_closed_form(experiment) } else { check_trained(experiment) }
}

/// Requirements of the strategy on method, clients and training.
fn check_strategy(experiment: &Experiment) -> Result<(), String> {
    let (federation, method) = (&experiment.federation, &experiment.method);
    let (strategy, training) = (&federation.strategy, &experiment.training);
    if *strategy == StrategyConfig::default() {
        return Ok(());
    }
    strategy.check().map_err(|problem| format!("federation.strategy.{problem}"))?;
    let (name, of) = (strategy.name(), method.name.as_str());
    let refuse = |problem: String| Err(format!("federation.strategy: {problem}"));
    if method.name.is_closed_form() {
        return refuse(format!(
            "{of} adds up the clients' sums, so {name} has no effect; leave it out"
        ));
    }
    if experiment.rounds() == 0 {
        return refuse(format!("nothing is trained, so {name} has no effect; leave it out"));
    }
    if federation.participants == Participants::LocalOnly {
        return refuse(format!("clients that are \"alone\" send nothing; leave {name} out"));
    }
    if strategy.needs_lora() && method.method().trainable() != Trainable::Adapters {
        return refuse(format!(
            "{name} needs the two factors of LoRA adapters, and {of} trains none; choose method.name = \"flora\", or \
             another strategy"
        ));
    }
    let constant = training.schedule == Schedule::Constant;
    if strategy.needs_sgd() && !(training.optimizer == OptimizerName::Sgd && constant) {
        return refuse(format!(
            "{name} assumes SGD steps at a constant rate; choose training.optimizer = \"sgd\" and training.schedule = \
             \"constant\", or another strategy"
        ));
    }
    if strategy.needs_plain_sgd() && training.momentum != 0.0 {
        return refuse(format!(
            "{name} assumes SGD without momentum; choose training.momentum = 0"
        ));
    }
    if strategy.makes_factors() && method.init_adapter.is_some() {
        return refuse(format!(
            "{name} creates its own factors, and the adapter in method.init_adapter would be lost; merge it into the \
             model with `flora export --merged`, and start from that"
        ));
    }
    if strategy.estimates() {
        check_estimate(experiment)?;
    }
    if strategy.shares().is_some() && federation.participants == Participants::Central {
        return Err(format!(
            "federation.participants: with {name} every client already has its own model, and \"alone\" or \
             \"central\" shares with no other client; \
             choose \"all\""
        ));
    }
    // An adapter that is still to be read has its own rank.
    match method.init_adapter {
        None => check_ranks(experiment),
        Some(_) => Ok(()),
    }
}

/// Checks that a first round that trains nothing, and is answered by a gradient, fits the others.
fn check_estimate(experiment: &Experiment) -> Result<(), String> {
    let (training, name) = (&experiment.training, experiment.federation.strategy.name());
    if experiment.rounds() < 2 {
        return Err(format!(
            "training.rounds: the first round of {name} estimates a gradient and trains nothing; choose 2 or more"
        ));
    }
    if training.patience.is_some_and(|patience| patience.get() < 2) {
        return Err(format!(
            "training.patience: the first round of {name} trains nothing, so it would end a run with a patience of \
             1; choose \
             2 or more"
        ));
    }
    if experiment.federation.max_update_norm.is_some() {
        return Err(format!(
            "federation.max_update_norm: the first round of {name} is answered by a gradient, whose norm differs from \
             that of an update; leave it out"
        ));
    }
    Ok(())
}

/// Checks that clients' individual ranks fit the initial adapter, whose settings are in `method.lora` by now.
pub(crate) fn check_ranks(experiment: &Experiment) -> Result<(), String> {
    let (strategy, method) = (&experiment.federation.strategy, &experiment.method);
    let Some((field, ranks)) = strategy.ranks() else { return Ok(()) };
    let refuse = |problem: String| Err(format!("federation.strategy.{field}: {problem}"));
    let (lora, largest) = (&method.lora, ranks.largest());
    let adapter = if method.init_adapter.is_some() { "method.init_adapter" } else { "method.lora" };
    if !lora.rank_pattern.is_empty() {
        return refuse(format!(
            "clients have one rank for all layers, and the rank_pattern of {adapter} has others; leave one of them out"
        ));
    }
    if largest != lora.r {
        let remedy = match method.init_adapter.is_some() {
            true => format!("give the largest client {}", lora.r),
            false => format!("choose method.lora.r = {largest}"),
        };
        return refuse(format!(
            "the largest is {largest}, and the adapter of {adapter} is of rank {}; {remedy}",
            lora.r
        ));
    }
    if method.init_adapter.is_some() && strategy.starts_from_rows() && ranks.smallest() < largest {
        return refuse(format!(
            "{} sends clients of a smaller rank a part of the adapter in method.init_adapter, which is a different \
             adapter; choose \
             \"flexlora\", or leave the adapter out",
            strategy.name()
        ));
    }
    Ok(())
}

/// Checks that there is something to attack.
fn check_attack(experiment: &Experiment) -> Result<(), String> {
    let Some(attack) = experiment.faults.attack else { return Ok(()) };
    let refuse = |why: &str| Err(format!("faults.attack: {why}; leave it out"));
    if experiment.rounds() == 0 {
        return refuse("nothing is trained or sent");
    }
    let of_labels = matches!(attack, Attack::LabelFlip { .. });
    if experiment.federation.participants == Participants::LocalOnly && !of_labels {
        return refuse("clients that are \"alone\" send nothing");
    }
    let of_all = matches!(attack, Attack::LittleIsEnough { .. } | Attack::InnerProduct { .. });
    if of_all && experiment.federation.strategy.ranks().is_some() {
        return refuse("there is no mean update of clients with ranks of their own to attack with");
    }
    Ok(())
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
            "training.class_weights: {name} weighs all images equally, so that its result does not depend on the \
             partition; choose \
             \"none\""
        ));
    }
    if !experiment.method.softmax.is_all() {
        return Err(format!(
            "method.softmax: {name} is solved without a loss, and its result does not depend on the partition; \
             leave it out"
        ));
    }
    let closed_form = &experiment.method.closed_form;
    if experiment.federation.participants == Participants::LocalOnly && closed_form.start.is_some()
    {
        let field = if closed_form.leaving { "leaving" } else { "start" };
        return Err(format!(
            "method.closed_form.{field}: clients that are \"alone\" neither add to nor subtract from the sums of \
             others; \
             name the joining or leaving clients as federation.participants"
        ));
    }
    if !experiment.federation.selection.is_fraction() {
        return Err(format!(
            "federation.selection: {name} has one round, so other clients would never be asked; choose \"fraction\""
        ));
    }
    if experiment.federation.fraction < 1.0 {
        return Err(format!(
            "federation.fraction: {name} has one round, so other clients would never be asked; choose 1"
        ));
    }
    Ok(())
}

/// Rejects settings of closed-form methods for other methods, where they would not have the intended effect.
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
            Some(_) => "method.closed_form: the classifier in method.head was solved with its own settings; leave \
                        these \
                        out, or solve it again with them"
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
