use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flora::core::text::{path as shown, printable};
use flora::data::Split;
use flora::flower::doctor::{Check, Credentials, Verdict, examine};
use flora::flower::{LinkConfig, NodeKey};
use flora::tuning::{Site, SiteConfig};

use super::model_args;
use crate::failure::Failure;
use crate::{output, version};

/// Check a machine for `flora node` and `flora serve`: disks, key, model, images, and the connection to a SuperLink
///
/// Every check prints its result and, if it fails, a remedy. Nothing is changed, here or on the SuperLink. Without
/// --superlink, only this machine is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// The SuperLink's address as sites use it: http://HOST:8000, or https://HOST behind a proxy
    #[arg(long, value_name = "URL")]
    superlink: Option<String>,
    /// PEM certificates that signed the SuperLink's, instead of those that browsers trust
    #[arg(long, value_name = "CA.pem")]
    root_certificates: Option<PathBuf>,
    /// The site's private key [default: node.key in the state folder, if present]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Folder of the site's state
    #[arg(long, value_name = "DIR", default_value = "flora-node")]
    state: PathBuf,
    /// The model, as for `flora node`: its digest is shown, for policies and for comparing machines
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The site's images
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Use only the images of this domain of the data set
    #[arg(long, value_name = "NAME", requires = "data")]
    domain: Option<String>,
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut checks = vec![Check::ok("flora", version::short()), flower()];
        checks.push(space("state folder", &self.state));
        if let Some(cache) = flora::tuning::assets::default_cache() {
            checks.push(space("cache", &cache));
        }
        let key_file = self.key.clone().unwrap_or_else(|| self.state.join("node.key"));
        let (check, key) = key(&key_file, self.key.is_some());
        checks.push(check);
        self.check_site(&mut checks);
        if let Some(superlink) = &self.superlink {
            let public_key = flora::flower::key::public_path(&key_file);
            let credentials =
                key.map(|key| Credentials { key: Arc::new(key), public_key: &public_key });
            let config = LinkConfig {
                root_certificates: self.root_certificates.clone(),
                patience: Duration::ZERO,
                ..LinkConfig::new(superlink)
            };
            checks.extend(examine(&config, credentials.as_ref()));
        }
        if self.json {
            output::json_lines(&checks)?;
        } else {
            checks.iter().for_each(show);
        }
        match checks.iter().filter(|check| check.verdict == Verdict::Failed).count() {
            0 => Ok(()),
            1 => Err(Failure::Run("1 check failed".to_owned())),
            failed => Err(Failure::Run(format!("{failed} checks failed"))),
        }
    }

    /// Checks the model and the images, if given.
    fn check_site(&self, checks: &mut Vec<Check>) {
        let model = self.model.as_deref();
        if let Some(model) = model {
            checks.push(match digest(model) {
                Ok(digest) => Check::ok("model", format!("{model}, base_digest {digest}")),
                Err(problem) => {
                    Check::failed("model", problem, "Correct --model, or download the model again")
                }
            });
        }
        let Some(data) = &self.data else { return };
        let site = Site::open(SiteConfig {
            data: data.clone(),
            root: None,
            domain: self.domain.clone(),
            model: model.unwrap_or("clip-nano").to_owned(),
            cache: None,
            device: flora::device::parse("cpu").expect("every build has it"),
            threads: 0,
        });
        checks.push(match site {
            Ok(site) => {
                let dataset = site.dataset();
                let images = |split| dataset.indices(split).len();
                let (train, test) = (images(Split::Train), images(Split::Test));
                let classes = dataset.classes().len();
                let found = format!(
                    "{}: {train} training images and {test} test images of {classes} classes",
                    shown(data)
                );
                match train {
                    0 => Check::failed(
                        "data",
                        found,
                        "A site needs training images: see docs/own-data.md",
                    ),
                    _ => Check::ok("data", found),
                }
            }
            Err(error) => Check::failed(
                "data",
                error.to_string(),
                format!(
                    "`flora datasets check {}` shows details",
                    flora::core::shell::quoted(data)
                ),
            ),
        });
    }
}

/// Prints a check and, on the next line, its remedy.
pub(super) fn show(check: &Check) {
    let verdict = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
    };
    output::line(format!("{verdict:8} {}: {}", check.name, printable(&check.found)));
    if let Some(remedy) = &check.remedy {
        output::line(format!("         {}", printable(remedy)));
    }
}

fn digest(model: &str) -> Result<String, String> {
    let path = model_args::resolve(model).map_err(|failure| match failure {
        Failure::Input(problem) | Failure::Run(problem) => problem,
        Failure::Stopped { message, .. } => message,
    })?;
    let checkpoint = flora::clip::Checkpoint::open(&path).map_err(|error| error.to_string())?;
    checkpoint.digest().map_err(|error| error.to_string())
}

/// Checks Flower's own programs, which only the SuperLink's machine needs.
fn flower() -> Check {
    const NAME: &str = "flower";
    let asked = Command::new("flwr")
        .arg("--version")
        .env("FLWR_TELEMETRY_ENABLED", "0")
        .env("FLWR_DISABLE_UPDATE_CHECK", "1")
        .output();
    let told = match asked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => {
            return Check::ok(
                NAME,
                "flwr is not installed here; only the SuperLink's machine needs it (pip install flwr==1.42.0)",
            );
        }
    };
    let tested = ["1.40.", "1.41.", "1.42."];
    let is_tested =
        told.split_whitespace().any(|word| tested.iter().any(|it| word.starts_with(it)));
    match is_tested {
        true => Check::ok(NAME, told),
        false => Check::warning(
            NAME,
            format!("{told}, a version that flora was not tested with"),
            "If this machine runs the SuperLink: pip install flwr==1.42.0",
        ),
    }
}

/// Checks that the folder is writable and has free space.
fn space(name: &'static str, folder: &Path) -> Check {
    const MIB: u64 = 1 << 20;
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/")).to_owned();
    let told = shown(folder);
    if !there.is_dir() {
        let found = format!("{told}: {} is not a folder", shown(&there));
        return Check::failed(name, found, "Name another folder");
    }
    let made = if there == absolute { "" } else { ", which will be created" };
    let (can_write, free) = look_at(&there);
    if !can_write {
        return Check::failed(
            name,
            format!("{told}{made}: {} cannot be written", shown(&there)),
            "Run flora as the folder's owner, or name another folder",
        );
    }
    match free {
        None => Check::ok(name, format!("{told}{made}")),
        Some(free) if free < 100 * MIB => Check::failed(
            name,
            format!("{told}{made}: only {} MiB are free", free / MIB),
            "Free some space, or name a folder on another disk",
        ),
        Some(free) if free < 1024 * MIB => Check::warning(
            name,
            format!("{told}{made}: {} MiB are free", free / MIB),
            "Features of large data sets and large models need more than 1 GiB",
        ),
        Some(free) => Check::ok(name, format!("{told}{made}: {} GiB are free", free / MIB / 1024)),
    }
}

/// Whether files can be created there, and the free bytes, if the system reports them.
#[cfg(unix)]
fn look_at(folder: &Path) -> (bool, Option<u64>) {
    use rustix::fs::{Access, access};
    let can_write = access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    (can_write, flora::core::disk::free_bytes(folder))
}

#[cfg(not(unix))]
fn look_at(folder: &Path) -> (bool, Option<u64>) {
    (std::fs::metadata(folder).is_ok_and(|it| !it.permissions().readonly()), None)
}

fn key(file: &Path, is_named: bool) -> (Check, Option<NodeKey>) {
    const NAME: &str = "key file";
    if !file.exists() {
        let check = match is_named {
            true => Check::failed(
                NAME,
                format!("{} is not there", shown(file)),
                "Correct --key; `flora node --check` creates a key if there is none",
            ),
            false => Check::ok(
                NAME,
                format!("none yet: `flora node --check` will create {}", shown(file)),
            ),
        };
        return (check, None);
    }
    match NodeKey::load(file) {
        Ok(key) => {
            let found = format!("{} ({})", shown(file), key.public_key().fingerprint());
            (Check::ok(NAME, found), Some(key))
        }
        Err(error) => {
            let remedy = "The key must be readable by its owner only (chmod 600), and be an EC key on P-384 without \
                          passphrase";
            (Check::failed(NAME, error.to_string(), remedy), None)
        }
    }
}
