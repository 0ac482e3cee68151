//! The hub and the cache of its models.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::HubError;

const ENDPOINT: &str = "https://huggingface.co";
const STALL: Duration = Duration::from_secs(30);

/// The hub, the credentials, and the cache of its models.
#[derive(Clone)]
pub struct HubConfig {
    /// The address of the hub, such as `https://huggingface.co`.
    pub endpoint: String,
    /// The folder that contains `models--owner--name`.
    pub cache: PathBuf,
    /// The token, sent to the hub, but to no other host that it redirects to.
    pub token: Option<String>,
    /// Whether to use only the cache, without requests.
    pub offline: bool,
    /// A connection without data for this long is given up.
    pub stall: Duration,
}

impl HubConfig {
    /// `huggingface.co`, with `cache` as the folder, no token, and a timeout of 30 seconds.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: ENDPOINT.into(),
            cache: cache.into(),
            token: None,
            offline: false,
            stall: STALL,
        }
    }

    /// Reads the environment as Python's `huggingface_hub` does:
    ///
    /// | variable | default |
    /// |---|---|
    /// | `HF_ENDPOINT` | `https://huggingface.co` |
    /// | `HF_HUB_CACHE` | `$HF_HOME/hub` |
    /// | `HF_HOME` | `$XDG_CACHE_HOME/huggingface`, or `~/.cache/huggingface` |
    /// | `HF_TOKEN` | the content of the file `HF_TOKEN_PATH`, or of `$HF_HOME/token` |
    /// | `HF_HUB_OFFLINE` (`1`, `on`, `yes` or `true`) | not offline |
    /// | `HF_HUB_DOWNLOAD_TIMEOUT` (seconds without a byte) | 30 |
    ///
    /// # Errors
    ///
    /// [`HubError::Environment`] names the variable with an invalid value.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_vars(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from_vars(
        var: impl Fn(&str) -> Option<OsString>,
        user: Option<PathBuf>,
    ) -> Result<Self, HubError> {
        // An empty variable counts as not set.
        let path = |name: &str| var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &'static str| match path(name).map(|value| value.into_os_string()) {
            None => Ok(None),
            Some(value) => match value.into_string() {
                Ok(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
                Err(_) => Err(HubError::environment(name, "is not Unicode")),
            },
        };

        let home = path("HF_HOME")
            .or_else(|| Some(path("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(user?.join(".cache/huggingface")));
        let cache =
            path("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub"))).ok_or_else(|| {
                HubError::environment("HF_HOME", "is not set, and there is no home folder; set it")
            })?;

        let endpoint = text("HF_ENDPOINT")?.unwrap_or_else(|| ENDPOINT.into());
        if !["https://", "http://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
            return Err(HubError::environment("HF_ENDPOINT", "does not start with https://"));
        }
        let stored = || {
            let file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")))?;
            let token = std::fs::read_to_string(file).ok()?;
            Some(token.trim().to_owned()).filter(|token| !token.is_empty())
        };
        let token = text("HF_TOKEN")?.or_else(stored);
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(HubError::environment("HF_TOKEN", "(or the token file) is not a token"));
        }
        let offline = text("HF_HUB_OFFLINE")?.is_some_and(|value| {
            ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
        });
        let stall = match text("HF_HUB_DOWNLOAD_TIMEOUT")? {
            None => STALL,
            Some(value) => match value.parse() {
                Ok(seconds @ 1..=86_400) => Duration::from_secs(seconds),
                _ => {
                    let problem = format!("is {value:?}, not seconds from 1 to 86400");
                    return Err(HubError::environment("HF_HUB_DOWNLOAD_TIMEOUT", problem));
                }
            },
        };
        Ok(Self { endpoint: endpoint.trim_end_matches('/').into(), cache, token, offline, stall })
    }
}

/// Without the token, which must not appear in a log.
impl fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("stall", &self.stall)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<HubConfig, HubError> {
        let var = |name: &str| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        HubConfig::from_vars(var, Some("/home/ada".into()))
    }

    #[test]
    fn folders_are_those_of_python() {
        let cache = |vars| config(vars).unwrap().cache;
        assert_eq!(cache(&[]), PathBuf::from("/home/ada/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), PathBuf::from("/x/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), PathBuf::from("/h/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]), PathBuf::from("/c"));
        assert_eq!(cache(&[("HF_HOME", ""), ("HF_HUB_CACHE", "")]), cache(&[]));
        let error = HubConfig::from_vars(|_| None, None).unwrap_err();
        assert!(error.to_string().contains("HF_HOME"), "{error}");
    }

    #[test]
    fn tokens() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let token = |vars: &[(&str, &str)]| config(vars).unwrap().token;
        assert_eq!(token(&[("HF_HOME", home)]), None);
        std::fs::write(folder.path().join("token"), "hf_stored\n").unwrap();
        assert_eq!(token(&[("HF_HOME", home)]).as_deref(), Some("hf_stored"));
        assert_eq!(token(&[("HF_HOME", home), ("HF_TOKEN", " ")]).as_deref(), Some("hf_stored"));
        assert_eq!(
            token(&[("HF_HOME", home), ("HF_TOKEN", "hf_mine ")]).as_deref(),
            Some("hf_mine")
        );
        std::fs::write(folder.path().join("other"), "hf_other").unwrap();
        let other = folder.path().join("other");
        assert_eq!(
            token(&[("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(),
            Some("hf_other")
        );

        let error = config(&[("HF_TOKEN", "a\r\nHost: b")]).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("Host"), "{error}");
        let shown = format!("{:?}", config(&[("HF_TOKEN", "hf_secret")]).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn switches_and_addresses() {
        assert_eq!(config(&[]).unwrap().endpoint, "https://huggingface.co");
        let endpoint = config(&[("HF_ENDPOINT", "https://mirror.example/hf/")]).unwrap().endpoint;
        assert_eq!(endpoint, "https://mirror.example/hf");
        assert!(config(&[("HF_ENDPOINT", "mirror.example")]).is_err());
        for (value, offline) in
            [("1", true), ("TRUE", true), ("Yes", true), ("0", false), ("no", false)]
        {
            assert_eq!(config(&[("HF_HUB_OFFLINE", value)]).unwrap().offline, offline, "{value}");
        }
        let stall =
            |value| config(&[("HF_HUB_DOWNLOAD_TIMEOUT", value)]).map(|config| config.stall);
        assert_eq!(stall("7").unwrap(), Duration::from_secs(7));
        for bad in ["0", "-1", "soon", "1e9", "99999999999999999999"] {
            assert!(stall(bad).is_err(), "{bad}");
        }
    }
}
