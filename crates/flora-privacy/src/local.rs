use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_federation::{Message, PARAMETERS, Task, Transform, Value};

use crate::noise::{Secret, normal};
use crate::{Budget, EPSILON, update};

/// Differential privacy of all data of a client, from everyone else: its update is clipped to a norm `C`, and gets
/// Gaussian noise with the standard deviation `2 C z` before it leaves the client. Two updates are at most `2 C` apart,
/// whatever the images.
///
/// The client refuses to answer once the next reply would exceed the budget. Its reply has the metric
/// [`EPSILON`]: the budget spent by the client.
///
/// The number of answers is part of the [saved state](Transform::save). A client that is restored to an earlier state
/// counts from there, so answers after that state are not counted, and with another [secret per task](RELEASE) each of
/// them was a further release. A client that a server can set back must count its answers elsewhere, where no server
/// reaches them, and tell this transform by [`ANSWERS`].
pub struct Noised {
    budget: Budget,
    clip: f64,
    secret: Secret,
    answers: u64,
}

impl Noised {
    /// Creates the transform with a secret of the client.
    pub fn new(budget: Budget, clip: f64, secret: Secret) -> Self {
        Self { budget, clip, secret, answers: 0 }
    }
}

impl Transform for Noised {
    fn name(&self) -> &str {
        "local privacy"
    }

    fn encode(&mut self, task: &Task, mut message: Message) -> Result<Message, String> {
        let next = self.answers.saturating_add(1).max(answers_of(task));
        let next = usize::try_from(next).map_err(|error| error.to_string())?;
        if let Some(why) = self.budget.exceeded(next - 1, 1) {
            return Err(why);
        }
        if message.records.keys().any(|name| name != PARAMETERS) {
            return Err(
                "its answer contains more than parameters, and noise would not cover the rest"
                    .to_owned(),
            );
        }
        let (Some(answer), Some(sent)) = (message.get_parameters(), task.message.get_parameters())
        else {
            return Err("there are no parameters to protect".to_owned());
        };
        let factor = update::factor(update::norm(answer, sent), self.clip);
        let deviation = 2.0 * self.clip * self.budget.mechanism.noise;
        let secret = self.secret.of(task);
        let contents = [answer.as_ref(), sent.as_ref()];
        let mut rng = secret.stream(self.answers, deviation, contents);
        let mut noised = ParameterRecord::new();
        for (name, like) in answer.iter() {
            let change = update::change(sent, name, like).into_iter();
            let change = change.map(|it| factor * it + normal(&mut rng, deviation));
            let tensor = update::moved(sent, name, like, change);
            let tensor = tensor.and_then(|tensor| noised.insert(name, tensor));
            tensor.map_err(|error| error.to_string())?;
        }
        let spent = self.budget.spent(next).map_err(|error| error.to_string())?;
        self.answers += 1;
        message.records.insert(PARAMETERS.to_owned(), Arc::new(noised));
        message.metrics.insert(EPSILON.to_owned(), spent);
        Ok(message)
    }

    /// The noise is not removed.
    fn decode(&self, _task: &Task, message: Message) -> Result<Message, String> {
        Ok(message)
    }

    fn save(&self) -> Vec<u8> {
        if self.answers == 0 {
            return Vec::new();
        }
        let mut bytes = self.answers.to_le_bytes().to_vec();
        bytes.extend(self.secret.as_bytes());
        bytes
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        if state.is_empty() {
            self.answers = 0;
            return Ok(());
        }
        let (answers, secret) = state.split_first_chunk().ok_or("it is cut off")?;
        self.answers = u64::from_le_bytes(*answers);
        self.secret = Secret::new(secret.try_into().map_err(|_| "it is cut off")?);
        Ok(())
    }
}

/// The setting of a task with which a site tells its own client how many replies it has given in the run, this one
/// included: also replies that the client's state does not count, because a server set it back. Servers cannot
/// influence it.
pub const ANSWERS: &str = "privacy.answers";

/// The number of replies of the client, this one included, according to [`ANSWERS`]; 0 if the task does not say.
pub fn answers_of(task: &Task) -> u64 {
    match task.message.config.get(ANSWERS) {
        Some(&Value::Int(answers)) => u64::try_from(answers).unwrap_or(0),
        _ => 0,
    }
}

/// The setting of a task with which a site numbers the replies of its own client. Servers cannot influence it.
pub const RELEASE: &str = "privacy.release";

impl Secret {
    /// Derives the secret of one task from the client's secret; see [`RELEASE`].
    #[must_use]
    pub fn of(&self, task: &Task) -> Self {
        match task.message.config.get(RELEASE) {
            Some(Value::Bytes(bytes)) => self.for_task(bytes),
            _ => self.clone(),
        }
    }
}

/// Removes a client's measurements of its training images. The number of examples and the spent budget stay.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Transform for Quiet {
    fn name(&self) -> &str {
        "quiet"
    }

    fn encode(&mut self, _task: &Task, mut message: Message) -> Result<Message, String> {
        message.hide_measurements();
        Ok(message)
    }

    /// Measurements that a client sends nevertheless are dropped.
    fn decode(&self, _task: &Task, mut message: Message) -> Result<Message, String> {
        message.hide_measurements();
        Ok(message)
    }
}
