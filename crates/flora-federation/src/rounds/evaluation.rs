//! The evaluation at the start of every round and after the last.

use std::{collections::BTreeMap, time::Instant};

use super::run::{Broken, Done, Run, client_failed, nobody};
use crate::{
    Answer, ClientScore, EvaluatedModel, Event, Failure, Kind, Reason, RoundScore, Stage, Task,
    state::{Step, StepKind},
};

impl Run<'_> {
    /// Evaluates the model on every client with test examples.
    pub(super) fn evaluate(
        &mut self,
        step: Step,
        begun: Option<Vec<Answer>>,
    ) -> Result<Done, Broken> {
        let start = Instant::now();
        let round = step.round;
        let stage = Stage::Evaluation;
        let shared = self.config.share.is_all();
        let clients = self.clients(round, stage)?;
        let global = self.global(round);
        // Without a global model, clients that never train have nothing to test.
        let tested = clients
            .iter()
            .filter(|info| info.num_test_examples > 0 && (shared || info.num_examples > 0));
        let (mut tasks, mut registered) = (Vec::new(), BTreeMap::new());
        for info in tested {
            registered.insert(info.id.as_str(), info.num_test_examples);
            let message = self.strategy.instruct(&global, info, &Kind::Evaluate);
            let client = info.id.clone();
            tasks.push(Task { client, round, attempt: 0, kind: Kind::Evaluate, message });
        }
        let (answers, whole) = self.collect(stage, tasks, begun.unwrap_or_default())?;
        if !whole {
            self.progress.seconds.evaluation += start.elapsed().as_secs_f64();
            return Ok(Done::Stopped(answers.into_values().collect()));
        }
        let (mut scores, mut failures) = (Vec::new(), Vec::new());
        for (client, answer) in answers {
            let num_test_examples = registered.get(client.as_str()).copied().unwrap_or(0);
            match score(round, answer, num_test_examples) {
                Ok(score) => scores.push(score),
                Err(failure) => {
                    self.listener.event(&client_failed(round, &client, &failure));
                    failures.push((client, failure));
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        self.progress.seconds.evaluation += seconds;
        let Some(mean) = RoundScore::mean(round, &scores) else {
            return Err(Broken { round, stage, reason: nobody("tested", &failures) });
        };
        self.progress.scored(mean);
        let model = if shared { EvaluatedModel::Global } else { EvaluatedModel::Own };
        self.listener.event(&Event::evaluated(model, mean, scores, seconds));
        if let Some(best) = self.progress.stopped_early(self.config) {
            let best_round = best.round;
            self.listener.event(&Event::StoppedEarly { round, best_round });
            return Ok(Done::Next(None));
        }
        if round < self.config.rounds
            && let Some(why) = self.strategy.is_spent()
        {
            self.listener.event(&Event::Note {
                message: format!("the run ends after round {round}: {why}"),
            });
            return Ok(Done::Next(None));
        }
        let train = Step { round, kind: StepKind::Train, attempt: 0 };
        Ok(Done::Next((round < self.config.rounds).then_some(train)))
    }
}

/// Reads a client's score. The client registered with `num_test_examples`.
fn score(round: usize, answer: Answer, num_test_examples: usize) -> Result<ClientScore, Failure> {
    let message = answer.result?;
    let refused = |message: String| Failure { reason: Reason::Refused, message };
    if answer.round != round {
        return Err(refused(format!("it replies to round {}, not {round}", answer.round)));
    }
    let Some(examples) = message.num_examples() else {
        return Err(refused(format!("its reply has no metric `{}`", crate::NUM_EXAMPLES)));
    };
    // Otherwise a client could decide the accuracy over all test examples by a false claim.
    if examples > num_test_examples {
        return Err(refused(format!(
            "it claims {examples} test examples, but registered with {num_test_examples}"
        )));
    }
    ClientScore::from_metrics(&answer.client, examples, &message.metrics, "loss").map_err(refused)
}
