//! Files of a site's released replies in a run that hides its images.
//!
//! A server may be set back and ask for a round again. For the same request, a site answers the same bits: its noise is
//! derived from the protected data and from a secret of its own, which is stored here. A different request would
//! release more. The plan's budget covers a number of replies, at most one per round, and no server can get more. The
//! client reports the budget that all of them spend, whatever state a server sets it back to.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use flora_core::files::write_atomic_private;
use flora_core::hex;
use flora_federation::Task;
use flora_privacy::{PrivacyConfig, Secret};
use flora_secagg::{SECURE, SigningKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::travel::Noise;
use crate::{Experiment, Plan};

/// Beside the states of a run.
const SECRET: &str = "privacy.secret";
const ANSWERS: &str = "privacy.answers";
const BUDGET: &str = "privacy.budget";
const IDENTITY: &str = "secure.identity";

pub(super) struct Ledger {
    path: PathBuf,
    /// The answered tasks: round, attempt and a digest of the sent message.
    answers: Vec<String>,
    /// The number of replies that the budget covers.
    most: usize,
}

impl Ledger {
    /// Opens the ledger in the run's folder, and the secret for the noise. Replies under different budgets cannot be
    /// added up, so a run keeps the budget of its first reply.
    pub(super) fn open(folder: &Path, covered: &Covered) -> Result<(Self, Secret), String> {
        let path = folder.join(ANSWERS);
        let mut text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(problem("cannot be read", &path, &error)),
        };
        // A line is cut off if the machine failed while it was written. Its reply never left, and the next line must not
        // continue it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            text.truncate(whole);
            write_atomic_private(&path, text.as_bytes())
                .map_err(|error| problem("cannot be written", &path, &error))?;
        }
        let answers: Vec<String> = text.lines().map(str::to_owned).collect();
        let secret = secret(&folder.join(SECRET), !answers.is_empty())?;
        keep_budget(&folder.join(BUDGET), covered, answers.len())?;
        Ok((Self { path, answers, most: covered.most }, secret))
    }

    /// Records that a task of the plan with this digest will be answered by a client in this state, unless it was
    /// recorded before. Returns the number that identifies this reply.
    pub(super) fn admit(
        &mut self,
        task: &Task,
        plan: &str,
        state: [u8; 32],
    ) -> Result<Vec<u8>, String> {
        let release = release(task, plan, state);
        let entry = format!("{} {} {}", task.round, task.attempt, hex::encode(&release));
        if self.answers.contains(&entry) {
            return Ok(release);
        }
        if self.answers.len() >= self.most {
            return Err(format!(
                "this site hides its images (federation.privacy), and has sent the {} replies that the run's \
                 budget covers; it \
                 gives no further ones",
                self.most
            ));
        }
        let written = fs::OpenOptions::new().create(true).append(true).open(&self.path);
        let written = written.and_then(|mut file| {
            file.write_all(format!("{entry}\n").as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| problem("cannot be written", &self.path, &error))?;
        self.answers.push(entry);
        Ok(release)
    }

    /// The number of replies in the run.
    pub(super) fn count(&self) -> usize {
        self.answers.len()
    }
}

/// Checks that the replies so far had the same budget, which is stored before the first.
fn keep_budget(path: &Path, covered: &Covered, answers: usize) -> Result<(), String> {
    match fs::read_to_string(path) {
        Ok(before) if before == covered.budget => Ok(()),
        Ok(_) if answers > 0 => Err(format!(
            "this site hides its images (federation.privacy), and the plan has another budget than that of the \
             {answers} replies that the run already has; begin the run anew"
        )),
        Err(error) if error.kind() != ErrorKind::NotFound || answers > 0 => {
            Err(problem("cannot be read", path, &error))
        }
        _ => write_atomic_private(path, covered.budget.as_bytes())
            .map_err(|error| problem("cannot be written", path, &error)),
    }
}

/// What the budget of a plan covers.
pub(super) struct Covered {
    /// The number of replies.
    pub(super) most: usize,
    /// Everything that the budget depends on.
    pub(super) budget: String,
}

/// What the budget of a plan covers for a site with this many training images; `None` if the plan does not make the
/// site hide them.
pub(super) fn covered(plan: &Plan, images: usize) -> Result<Option<Covered>, String> {
    let experiment = Experiment::from_toml("the server's experiment", &plan.experiment, &[]);
    let experiment = experiment.map_err(|error| error.to_string())?;
    let rounds = experiment.rounds();
    let Some(privacy) = &experiment.federation.privacy else { return Ok(None) };
    let mut facts = vec![rounds];
    let most = match privacy {
        PrivacyConfig::Local(local) => {
            let most = local.budget(rounds).and_then(|budget| budget.most_rounds(rounds));
            most.map_err(|error| format!("federation.privacy.{error}"))?
        }
        // Sums are sent once.
        PrivacyConfig::Sample(_) if experiment.method.name.is_closed_form() => rounds,
        PrivacyConfig::Sample(_) => {
            let training = &experiment.training;
            facts.extend([training.local_epochs, training.batch_size, images]);
            let hidden = experiment.hidden(&Noise::Seeded, "");
            let hidden = hidden.map_err(|error| error.to_string())?;
            let most = hidden.map(|hidden| hidden.most_answers(images, rounds)).transpose();
            most.map_err(|error| error.to_string())?.unwrap_or(0)
        }
        _ => return Ok(None),
    };
    let budget = serde_json::to_string(&(privacy, facts)).expect("plain data");
    Ok(Some(Covered { most, budget }))
}

/// The site's identity in secure rounds of this run.
pub(super) fn identity(folder: &Path) -> Result<SigningKey, String> {
    secret(&folder.join(IDENTITY), false).map(|secret| SigningKey::from_bytes(secret.as_bytes()))
}

/// The stored secret, or a new one if nothing was released yet.
fn secret(path: &Path, is_needed: bool) -> Result<Secret, String> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => Secret::from_hex(text.trim()).ok_or_else(|| {
            format!(
                "{} is damaged, and with it the noise of the run; begin the run anew",
                path.display()
            )
        }),
        Err(error) if error.kind() == ErrorKind::NotFound && !is_needed => {
            let secret = Secret::fresh()?;
            let text = Zeroizing::new(format!("{}\n", hex::encode(secret.as_bytes())));
            write_atomic_private(path, text.as_bytes())
                .map_err(|error| problem("cannot be written", path, &error))?;
            Ok(secret)
        }
        Err(error) => Err(problem("cannot be read", path, &error)),
    }
}

/// A digest of everything that a reply depends on.
fn release(task: &Task, plan: &str, state: [u8; 32]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(plan);
    hash.update(state);
    hash.update((task.round as u64).to_le_bytes());
    hash.update((task.attempt as u64).to_le_bytes());
    // Masks are drawn anew each time, but cover the same update.
    for (name, record) in task.message.records.iter().filter(|(name, _)| *name != SECURE) {
        hash.update(name);
        hash.update(Sha256::digest(record.to_safetensors()));
    }
    hash.update(serde_json::to_vec(&task.message.config).expect("plain data"));
    hash.finalize().to_vec()
}

fn problem(what: &str, path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{} {what}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use flora_core::{HostTensor, ParameterRecord};
    use flora_federation::{Kind, Message};

    use super::*;

    fn task(round: usize, attempt: usize, value: f32) -> Task {
        let mut record = ParameterRecord::new();
        record.insert("w", HostTensor::from_f32([1], vec![value]).unwrap()).unwrap();
        let message = Message::parameters(record.into());
        Task { client: "a".to_owned(), round, attempt, kind: Kind::Train, message }
    }

    #[test]
    fn no_server_gets_more_answers_than_the_budget_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let covered = |most| Covered { most, budget: "a noise of 2".to_owned() };
        let open = || Ledger::open(folder.path(), &covered(3)).unwrap();
        let (mut ledger, secret) = open();
        let first = ledger.admit(&task(0, 0, 1.0), "plan", [0; 32]).unwrap();
        // Repeated, in this process and the next, with the same noise.
        assert_eq!(ledger.admit(&task(0, 0, 1.0), "plan", [0; 32]).unwrap(), first);
        let (mut ledger, again) = open();
        assert_eq!(secret, again);
        assert_eq!(ledger.admit(&task(0, 0, 1.0), "plan", [0; 32]).unwrap(), first);
        // Another model in the same round is another reply, and so is one from another state or plan.
        assert_ne!(ledger.admit(&task(0, 0, 2.0), "plan", [0; 32]).unwrap(), first);
        assert_ne!(ledger.admit(&task(0, 0, 1.0), "plan", [1; 32]).unwrap(), first);
        for (task, plan) in
            [(task(0, 0, 3.0), "plan"), (task(0, 1, 1.0), "plan"), (task(0, 0, 1.0), "another")]
        {
            let refused = ledger.admit(&task, plan, [0; 32]).unwrap_err();
            assert!(refused.contains("has sent the 3 replies"), "{refused}");
        }
        // A line that was cut off does not count, and spoils no other.
        let path = folder.path().join(ANSWERS);
        let text = fs::read_to_string(&path).unwrap();
        let last = text.trim_end().rfind('\n').unwrap() + 10;
        fs::write(&path, &text[..last]).unwrap();
        let (mut ledger, _) = open();
        assert_eq!(ledger.count(), 2);
        ledger.admit(&task(1, 0, 1.0), "plan", [0; 32]).unwrap();
        let (mut ledger, _) = open();
        assert_eq!(ledger.count(), 3);
        assert!(ledger.admit(&task(1, 1, 1.0), "plan", [0; 32]).is_err());
        // Replies under another budget do not add up with these.
        let other = Covered { most: 1_000, budget: "a noise of 200".to_owned() };
        let refused = Ledger::open(folder.path(), &other).err().unwrap();
        assert!(refused.contains("another budget than that of the 3 replies"), "{refused}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let of_secret = fs::metadata(folder.path().join(SECRET)).unwrap().permissions();
            assert_eq!(of_secret.mode() & 0o077, 0);
        }
        // Without its secret, the same reply would have other noise.
        fs::remove_file(folder.path().join(SECRET)).unwrap();
        assert!(Ledger::open(folder.path(), &covered(3)).is_err());
        fs::write(folder.path().join(SECRET), "abc").unwrap();
        assert!(Ledger::open(folder.path(), &covered(3)).err().unwrap().contains("is damaged"));
    }
}
