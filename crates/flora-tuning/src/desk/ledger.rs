//! Files of a site's released replies in a run that hides its images.
//!
//! A server may be set back and ask for a round again. For the same request, a site answers the same bits: its noise is
//! derived from the protected data and from a secret of its own, which is stored here. A different request would
//! release more. The budget covers as many replies as the plan has rounds, and no server can get more.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use flora_core::files::write_atomic;
use flora_core::hex;
use flora_federation::Task;
use flora_privacy::Secret;
use flora_secagg::{SECURE, SigningKey};
use sha2::{Digest, Sha256};

/// Beside the states of a run.
const SECRET: &str = "privacy.secret";
const ANSWERS: &str = "privacy.answers";
const IDENTITY: &str = "secure.identity";

pub(super) struct Ledger {
    path: PathBuf,
    /// The answered tasks: round, attempt and a digest of the sent message.
    answers: Vec<String>,
    /// The number of replies that the budget covers.
    most: usize,
}

impl Ledger {
    /// Opens the ledger in the run's folder, and the secret for the noise.
    pub(super) fn open(folder: &Path, most: usize) -> Result<(Self, Secret), String> {
        let path = folder.join(ANSWERS);
        let answers: Vec<String> = match fs::read_to_string(&path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(problem("cannot be read", &path, &error)),
        };
        let secret = secret(&folder.join(SECRET), !answers.is_empty())?;
        Ok((Self { path, answers, most }, secret))
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
}

/// The site's identity in secure rounds of this run.
pub(super) fn identity(folder: &Path) -> Result<SigningKey, String> {
    secret(&folder.join(IDENTITY), false).map(|secret| SigningKey::from_bytes(secret.as_bytes()))
}

/// The stored secret, or a new one if nothing was released yet.
fn secret(path: &Path, is_needed: bool) -> Result<Secret, String> {
    match fs::read_to_string(path) {
        Ok(text) => Secret::from_hex(text.trim()).ok_or_else(|| {
            format!(
                "{} is damaged, and with it the noise of the run; begin the run anew",
                path.display()
            )
        }),
        Err(error) if error.kind() == ErrorKind::NotFound && !is_needed => {
            let secret = Secret::fresh()?;
            let text = format!("{}\n", hex::encode(secret.as_bytes()));
            write_atomic(path, text.as_bytes())
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
        let open = || Ledger::open(folder.path(), 3).unwrap();
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
        // Without its secret, the same reply would have other noise.
        fs::remove_file(folder.path().join(SECRET)).unwrap();
        assert!(Ledger::open(folder.path(), 2).is_err());
        fs::write(folder.path().join(SECRET), "abc").unwrap();
        assert!(Ledger::open(folder.path(), 2).err().unwrap().contains("is damaged"));
    }
}
