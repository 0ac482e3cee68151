use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord, hex};
use flora_federation::{
    Accepted, Aggregate, CheckError, ClientInfo, Global, Kind, Message, Metrics, Strategy,
    StrategyError, Value,
};
use rand::Rng;

use sha2::{Digest, Sha256};

use crate::noise::{Secret, normal};
use crate::{Adaptive, Budget, EPSILON, Releases, update};

/// Names in its state; the rule's own names never begin like this.
const STEPS: &str = "privacy.rounds";
const CLIP: &str = "privacy.clip";
const SECRET: &str = "privacy.secret";
const MECHANISM: &str = "privacy.mechanism";
/// The metrics of a round.
const CLIPPING_NORM: &str = "clipping_norm";

/// Client-level differential privacy with a trusted server (McMahan et al. 2018, <https://arxiv.org/abs/1710.06963>).
/// Each client's whole update is clipped to a norm `C`, all updates have the same weight, and the sum gets Gaussian
/// noise and is divided by the expected number of clients, whatever the number of replies:
///
/// `update = (sum_k min(1, C / |d_k|) d_k + N(0, (z C)^2)) / (rate K)`
///
/// The wrapped rule receives a single reply with this update. Processing it spends no further budget. The rule must
/// accept replies that contain parameters, or their sum: FedAvg does, with any server optimizer, and so do rules that
/// train one factor of LoRA adapters (`ffa`, `fedsvd`). For these, the noise is on the averaged factor. If both factors
/// are trained, `(B + noise) (A + noise)` contains the product of the two noises.
///
/// A round in which no client was drawn or answered is noise alone, because skipping it would reveal that. The metrics
/// do not contain the participants, the clipped norms or their number.
///
/// The budget spent is that of all [`Releases`], also of rounds that a resumed run repeats with another result.
///
/// The result is f32, and the sum is computed in f64. Attacks on the floating-point digits of such noise (Mironov 2012)
/// are not defended against.
pub struct Central {
    rule: Box<dyn Strategy>,
    budget: Budget,
    adaptive: Option<Adaptive>,
    /// The expected number of clients in a round.
    expected: f64,
    is_answered: Box<dyn Fn(&str) -> bool + Send>,
    secret: Secret,
    clip: f64,
    /// The number of finished rounds.
    steps: usize,
    releases: Releases,
}

/// Facts of the run that a [`Central`] needs besides its settings.
pub struct CentralFacts {
    /// The budget that the noise spends.
    pub budget: Budget,
    /// The clipping norm; if it adapts, the initial one.
    pub clip: f64,
    /// How the clipping norm adapts.
    pub adaptive: Option<Adaptive>,
    /// The number of clients that can be drawn.
    pub clients: usize,
    /// Whether clients send back the tensor of that name.
    pub is_answered: Box<dyn Fn(&str) -> bool + Send>,
    /// The source of the noise.
    pub secret: Secret,
    /// The list of releases. Without a file, it ends with the process.
    pub releases: Releases,
}

impl Central {
    /// Applies `rule` to noised means.
    pub fn new(rule: Box<dyn Strategy>, facts: CentralFacts) -> Self {
        let CentralFacts { budget, clip, adaptive, clients, is_answered, secret, releases } = facts;
        let expected = budget.mechanism.rate * clients as f64;
        Self { rule, budget, adaptive, expected, is_answered, secret, clip, steps: 0, releases }
    }

    /// The form of a round's replies, of which there may be none.
    fn like(&self, sent: &ParameterRecord, accepted: &[Accepted]) -> ParameterRecord {
        match accepted.first() {
            Some(answer) => answer.parameters.as_ref().clone(),
            None => sent.filter(|name| (self.is_answered)(name)),
        }
    }

    /// Checks that the settings fit together, before the first round.
    ///
    /// # Errors
    /// A quantile that would use up the whole budget.
    pub fn check(&self) -> Result<(), StrategyError> {
        self.noise().map(|_| ())
    }

    /// The noise multiplier of the sum, and that of the quantile. If the norm adapts, the quantile uses a part of the
    /// budget: together they are one release with the noise multiplier `z` (Andrew et al., theorem 1).
    fn noise(&self) -> Result<(f64, Option<f64>), StrategyError> {
        let z = self.budget.mechanism.noise;
        let Some(_) = self.adaptive else { return Ok((z, None)) };
        let of_count = self.expected / 20.0;
        let left = z.powi(-2) - (2.0 * of_count).powi(-2);
        match left > 0.0 {
            true => Ok((left.powf(-0.5), Some(of_count))),
            false => Err(StrategyError::Other(format!(
                "federation.privacy.adaptive: with {} clients per round, the noise on the number of clipped updates \
                 needs more than the \
                 whole budget; choose a fixed clipping norm",
                self.expected
            ))),
        }
    }

    /// The noised mean of the clipped updates as one reply, and the next clipping norm.
    fn mean(
        &self,
        sent: &ParameterRecord,
        accepted: &[Accepted],
    ) -> Result<(ParameterRecord, f64), StrategyError> {
        let (noise, of_count) = self.noise()?;
        let contents = accepted.iter().map(|it| it.parameters.as_ref()).chain([sent]);
        let mut rng = self.secret.stream(self.steps as u64, noise * self.clip, contents);
        let like = self.like(sent, accepted);
        let mut sums: Vec<Vec<f64>> = like.iter().map(|(_, it)| vec![0.0; it.len()]).collect();
        let mut within = 0.0;
        for answer in accepted {
            answer.parameters.check_matches(&like)?;
            let norm = update::norm(&answer.parameters, sent);
            // Centred at zero with a range of one half to each side, so that a client moves the sum by a half, as the
            // theorem requires.
            within += if norm <= self.clip { 0.5 } else { -0.5 };
            let factor = update::factor(norm, self.clip);
            for ((name, theirs), sum) in like.iter().zip(&mut sums) {
                let theirs = answer.parameters.matching(name, theirs)?;
                let change = update::change(sent, name, theirs);
                sum.iter_mut().zip(change).for_each(|(sum, change)| *sum += factor * change);
            }
        }
        let mut mean = ParameterRecord::new();
        for ((name, like), sum) in like.iter().zip(sums) {
            let noised = |sum| (sum + normal(&mut rng, noise * self.clip)) / self.expected;
            let tensor: HostTensor = update::moved(sent, name, like, sum.into_iter().map(noised))?;
            mean.insert(name, tensor)?;
        }
        let clip = match (self.adaptive, of_count) {
            (Some(Adaptive { quantile, rate }), Some(deviation)) => {
                let share = (within + normal(&mut rng, deviation)) / self.expected + 0.5;
                self.clip * (-rate * (share - quantile)).exp()
            }
            _ => self.clip,
        };
        Ok((mean, clip))
    }
}

impl Strategy for Central {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        self.rule.instruct(global, client, kind)
    }

    fn check(&self, sent: &Message, answer: &Message) -> Result<(), CheckError> {
        self.rule.check(sent, answer)
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let other = |error: String| StrategyError::Other(error);
        // Without replies, the message that any client would have been sent.
        let nobody = ClientInfo { id: String::new(), num_examples: 1, num_test_examples: 0 };
        let sent = match accepted.first() {
            Some(answer) => answer.sent.clone(),
            None => self.rule.instruct(global, &nobody, &Kind::Train),
        };
        let parameters = sent
            .get_parameters()
            .cloned()
            .ok_or_else(|| other("the clients were sent no parameters".to_owned()))?;
        let (mean, clip) = self.mean(&parameters, accepted)?;
        let (budget, digest) = (&self.budget, digest(&mean, clip));
        let spends = |done| budget.exceeded(done, 1);
        let released = self.releases.admit(self.steps, &digest, spends).map_err(other)?;
        let client = ClientInfo { id: "all".to_owned(), num_examples: 1, num_test_examples: 0 };
        let message = Message::trained(mean, 1, Metrics::new());
        let parameters = Arc::clone(message.get_parameters().expect("it was just made"));
        let one = Accepted { client, sent, message, num_examples: 1, parameters };
        let mut aggregate = self.rule.aggregate(global, std::slice::from_ref(&one))?;
        self.steps += 1;
        let spent = self.budget.spent(released).map_err(|error| other(error.to_string()))?;
        aggregate.metrics.insert(EPSILON.to_owned(), spent);
        aggregate.metrics.insert(CLIPPING_NORM.to_owned(), self.clip);
        self.clip = clip;
        Ok(aggregate)
    }

    fn counts_nobody(&self) -> bool {
        true
    }

    /// From the server's secret: privacy amplification requires that nobody knows who takes part.
    fn draw_seed(&self) -> Option<u64> {
        Some(self.secret.coins(0).next_u64())
    }

    fn is_spent(&self) -> Option<String> {
        // A repeated release spends nothing, if it is the same.
        let exceeded = match self.releases.has(self.steps) {
            true => None,
            false => self.budget.exceeded(self.releases.count(self.steps), 1),
        };
        exceeded.or_else(|| self.rule.is_spent())
    }

    fn state(&self) -> Message {
        let mut state = self.rule.state();
        let text = |text: String| Value::Text(text);
        state.config.insert(STEPS.to_owned(), Value::Int(self.steps as i64));
        // Stored as bits, so that the next process has exactly the same value.
        state.config.insert(CLIP.to_owned(), text(hex::encode(&self.clip.to_le_bytes())));
        let facts = [self.budget.mechanism.rate, self.budget.mechanism.noise, self.expected];
        let facts = facts.map(f64::to_le_bytes).concat();
        state.config.insert(MECHANISM.to_owned(), text(hex::encode(&facts)));
        state.config.insert(SECRET.to_owned(), text(hex::encode(self.secret.as_bytes())));
        state
    }

    fn restore(&mut self, mut state: Message) -> Result<(), StrategyError> {
        let mut own = |name: &str| {
            let missing = || {
                StrategyError::State(format!(
                    "`{name}` is missing: the saved run had no central privacy; resume with the settings that saved it"
                ))
            };
            state.config.remove(name).ok_or_else(missing)
        };
        let number = |digits: &str| hex::decode(digits)?.try_into().ok();
        let damaged = || StrategyError::State("the state of central privacy is damaged".into());
        let (Value::Int(steps), Value::Text(clip), Value::Text(secret), Value::Text(mechanism)) =
            (own(STEPS)?, own(CLIP)?, own(SECRET)?, own(MECHANISM)?)
        else {
            return Err(damaged());
        };
        let facts = hex::decode(&mechanism).ok_or_else(damaged)?;
        let (facts, rest) = facts.as_chunks();
        let facts: Vec<f64> = facts.iter().copied().map(f64::from_le_bytes).collect();
        let (&[rate, noise, expected], []) = (&facts[..], rest) else { return Err(damaged()) };
        if !(rate > 0.0 && rate <= 1.0 && noise.is_finite() && noise > 0.0 && expected > 0.0) {
            return Err(damaged());
        }
        // Other clients may be there now. All rounds count as those with the higher rate, and the noise stays.
        let mechanism = &mut self.budget.mechanism;
        mechanism.rate = mechanism.rate.max(rate);
        mechanism.noise = noise;
        self.expected = expected;
        self.steps = usize::try_from(steps).map_err(|_| damaged())?;
        self.clip = f64::from_le_bytes(number(&clip).ok_or_else(damaged)?);
        self.secret = Secret::from_hex(&secret).ok_or_else(damaged)?;
        if !(self.clip > 0.0 && self.clip.is_finite()) {
            return Err(damaged());
        }
        self.releases.check(self.steps).map_err(StrategyError::State)?;
        self.rule.restore(state)
    }
}

/// A digest of the bits of a release.
fn digest(mean: &ParameterRecord, clip: f64) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"flora privacy release");
    hash.update(clip.to_le_bytes());
    for (name, tensor) in mean.iter() {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((tensor.byte_len() as u64).to_le_bytes());
        hash.update(tensor.to_le_bytes());
    }
    hash.finalize().into()
}
