//! Downloads from a hub run by the test itself.
#![cfg(feature = "hub")]

mod fake;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fake::{COMMIT, FakeHub, Mishap, Request};
use flora_hub::{HubConfig, HubError, ModelSource, resolve_adapter_with, resolve_with};
use tempfile::TempDir;

const WEIGHTS: &str = "model.safetensors";

/// More than a few pieces, and no two alike.
fn weights() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn small_clip() -> FakeHub {
    FakeHub::new(&[
        ("README.md", b"# CLIP"),
        ("config.json", br#"{"model_type": "clip"}"#),
        ("merges.txt", b"m"),
        ("vocab.json", b"{}"),
        (WEIGHTS, &weights()),
        ("pytorch_model.bin", b"the same again"),
        ("preprocessor_config.json", br#"{"do_resize": true}"#),
        ("flax_model.msgpack", b"and again"),
    ])
}

struct Desk {
    hub: FakeHub,
    config: HubConfig,
    _home: TempDir,
}

impl Desk {
    fn new(hub: FakeHub) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = HubConfig::new(home.path().join("hub"));
        config.endpoint = hub.endpoint();
        Self { hub, config, _home: home }
    }

    fn resolve(&self, source: &str) -> Result<PathBuf, HubError> {
        resolve_with(&source.parse().unwrap(), &self.config, &mut |_| {})
    }

    fn clip(&self) -> Result<PathBuf, HubError> {
        self.resolve("hf:ada/clip")
    }

    fn repository(&self) -> PathBuf {
        self.config.cache.join("models--ada--clip")
    }

    /// The only file that is still to be completed.
    fn part(&self) -> PathBuf {
        let mut parts = blobs(&self.repository());
        parts.retain(|path| path.extension().is_some_and(|extension| extension == "incomplete"));
        assert_eq!(parts.len(), 1, "{parts:?}");
        parts.remove(0)
    }

    fn assert_whole(&self, folder: &Path) {
        assert_eq!(folder, self.repository().join("snapshots").join(COMMIT));
        assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), weights());
        let left = blobs(&self.repository())
            .iter()
            .any(|path| path.extension().is_some_and(|extension| extension == "incomplete"));
        assert!(!left, "a part is left");
    }
}

fn blobs(repository: &Path) -> Vec<PathBuf> {
    fs::read_dir(repository.join("blobs")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn paths(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.path.as_str()).collect()
}

#[test]
fn what_is_needed_is_downloaded_once() {
    let desk = Desk::new(small_clip());
    let source: ModelSource = "hf:ada/clip".parse().unwrap();
    let mut seen = Vec::new();
    let folder = resolve_with(&source, &desk.config, &mut |progress| {
        seen.push((progress.file.to_owned(), progress.done, progress.total));
    })
    .unwrap();
    desk.assert_whole(&folder);
    let needed = ["config.json", "merges.txt", WEIGHTS, "preprocessor_config.json", "vocab.json"];
    assert_eq!(files(&folder), needed);
    assert_eq!(fs::read_to_string(desk.repository().join("refs/main")).unwrap(), COMMIT);

    let size = weights().len() as u64;
    let of_weights: Vec<_> = seen.iter().filter(|(file, ..)| file == WEIGHTS).collect();
    assert_eq!(of_weights.first().unwrap(), &&(WEIGHTS.to_owned(), 0, Some(size)));
    assert_eq!(of_weights.last().unwrap(), &&(WEIGHTS.to_owned(), size, Some(size)));
    assert!(of_weights.len() > 3 && of_weights.is_sorted_by_key(|(_, done, _)| *done));

    // One request a file, two for the redirected weights, and the listing.
    assert_eq!(desk.hub.requests().len(), needed.len() + 2);

    // A second time: the branch is looked up, no file is asked for.
    assert_eq!(desk.clip().unwrap(), folder);
    assert_eq!(paths(&desk.hub.requests()), ["/api/models/ada/clip/revision/main?blobs=true"]);
    // A commit that is there needs nobody.
    assert_eq!(desk.resolve(&format!("hf:ada/clip@{COMMIT}")).unwrap(), folder);
    assert!(desk.hub.requests().is_empty());
}

#[cfg(unix)]
#[test]
fn the_cache_has_the_layout_of_python() {
    let desk = Desk::new(small_clip());
    let folder = desk.clip().unwrap();
    let target = fs::read_link(folder.join(WEIGHTS)).unwrap();
    let name = target.file_name().unwrap().to_str().unwrap();
    assert_eq!(target, Path::new("../../blobs").join(name));
    assert_eq!(name.len(), 64, "blobs in LFS are called after their SHA-256");

    // A blob that another revision brought is linked, not downloaded; a link to nothing is replaced.
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", folder.join(WEIGHTS)).unwrap();
    desk.hub.requests();
    desk.assert_whole(&desk.clip().unwrap());
    assert_eq!(desk.hub.requests().len(), 1);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let mut desk = Desk::new(small_clip());
    desk.config.token = Some("hf_secret".into());
    desk.clip().unwrap();
    let requests = desk.hub.requests();
    for request in &requests {
        let sent = request.headers.get("authorization").map(String::as_str);
        let expected = (!request.path.starts_with("/cdn/")).then_some("Bearer hf_secret");
        assert_eq!(sent, expected, "{}", request.path);
        assert!(request.headers["user-agent"].contains("flora/"), "{request:?}");
    }
    assert!(requests.iter().any(|request| request.path.starts_with("/cdn/")));

    let desk = Desk::new(small_clip());
    desk.clip().unwrap();
    assert!(
        desk.hub.requests().iter().all(|request| !request.headers.contains_key("authorization"))
    );
}

#[test]
fn sharded_weights() {
    let index = br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let desk = Desk::new(FakeHub::new(&[
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index),
        ("model-1.safetensors", b"one"),
        ("model-2.safetensors", b"two"),
        ("model-3.safetensors", b"not named"),
    ]));
    let folder = desk.clip().unwrap();
    let expected = [
        "config.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
    ];
    assert_eq!(files(&folder), expected);

    for evil in ["../evil", "/etc/passwd", "a/../../evil", "sub/model-1.safetensors"] {
        let index = serde_json::json!({ "weight_map": { "a": evil } }).to_string();
        let desk = Desk::new(FakeHub::new(&[
            ("config.json", b"{}"),
            ("model.safetensors.index.json", index.as_bytes()),
            (evil, b"evil"),
        ]));
        let error = desk.clip().unwrap_err();
        assert!(matches!(error, HubError::Incomplete { .. }), "{error:?}");
        assert!(
            error.to_string().contains(evil) && error.to_string().contains("ada/clip"),
            "{error}"
        );
        assert!(!desk.repository().join("refs").exists(), "no revision without its weights");
        assert!(desk.hub.requests().iter().all(|request| !request.path.contains("evil")));
    }
}

#[test]
fn weights_of_open_clip_beside_a_config_of_timm() {
    let desk = Desk::new(FakeHub::new(&[
        ("config.json", br#"{"architecture": "vit_base_patch32_clip_224"}"#),
        (WEIGHTS, b"the vision tower alone"),
        ("open_clip_config.json", b"{}"),
        ("open_clip_model.safetensors", b"all of it"),
        ("tokenizer.json", b"{}"),
        ("vocab.json", b"{}"),
    ]));
    let folder = desk.clip().unwrap();
    let expected =
        ["config.json", "open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"];
    assert_eq!(files(&folder), expected);
}

#[test]
fn adapters() {
    let desk = Desk::new(FakeHub::new(&[
        ("adapter_config.json", b"{}"),
        ("adapter_model.safetensors", b"A and B"),
        ("config.json", b"{}"),
        (WEIGHTS, b"not wanted"),
    ]));
    let source = "hf:ada/clip".parse().unwrap();
    let folder = resolve_adapter_with(&source, &desk.config, &mut |_| {}).unwrap();
    assert_eq!(files(&folder), ["adapter_config.json", "adapter_model.safetensors"]);

    // What FLoRA wrote of its training.
    let desk = Desk::new(FakeHub::new(&[
        ("adapter_config.json", b"{}"),
        ("adapter_model.safetensors", b"A and B"),
        ("flora.json", b"{}"),
    ]));
    let folder = resolve_adapter_with(&source, &desk.config, &mut |_| {}).unwrap();
    assert_eq!(files(&folder), ["adapter_config.json", "adapter_model.safetensors", "flora.json"]);

    let desk = Desk::new(small_clip());
    let error = resolve_adapter_with(&source, &desk.config, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("adapter_config.json"), "{error}");
}

#[test]
fn a_repository_that_is_no_clip() {
    let desk = Desk::new(FakeHub::new(&[("config.json", b"{}"), ("README.md", b"")]));
    let error = desk.clip().unwrap_err();
    assert!(matches!(error, HubError::Incomplete { .. }), "{error:?}");
    assert!(error.to_string().contains("pytorch_model.bin"), "{error}");
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let desk = Desk::new(small_clip());
    desk.hub.state().mishaps.extend([
        Mishap::Cut(100_000),
        Mishap::Status(503),
        Mishap::Cut(50_000),
    ]);
    desk.assert_whole(&desk.clip().unwrap());
    let ranges: Vec<_> = desk
        .hub
        .requests()
        .into_iter()
        .filter(|request| request.path.starts_with("/cdn/"))
        .map(|request| request.headers.get("range").cloned())
        .collect();
    let range = |start: u32| Some(format!("bytes={start}-"));
    assert_eq!(ranges, [None, range(100_000), range(100_000), range(150_000)]);
}

#[test]
fn the_next_run_goes_on_where_this_one_stopped() {
    let desk = Desk::new(small_clip());
    desk.hub.state().mishaps.extend([
        Mishap::Cut(70_000),
        Mishap::Cut(0),
        Mishap::Cut(0),
        Mishap::Cut(0),
    ]);
    let error = desk.clip().unwrap_err();
    assert!(matches!(error, HubError::Broken { attempts: 4, .. }), "{error:?}");
    assert!(error.to_string().contains(WEIGHTS), "{error}");
    assert_eq!(fs::metadata(desk.part()).unwrap().len(), 70_000);

    desk.hub.requests();
    desk.assert_whole(&desk.clip().unwrap());
    let ranges: Vec<_> = desk
        .hub
        .requests()
        .iter()
        .filter_map(|request| request.headers.get("range").cloned())
        .collect();
    // Once at the hub, once where it redirects to.
    assert_eq!(ranges, ["bytes=70000-", "bytes=70000-"]);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let desk = Desk::new(small_clip());
    desk.hub.state().ignore_ranges = true;
    desk.hub.state().mishaps.push_back(Mishap::Cut(100_000));
    desk.assert_whole(&desk.clip().unwrap());
}

#[test]
fn a_part_that_was_not_asked_for_is_refused() {
    let desk = Desk::new(small_clip());
    desk.hub.state().shift_ranges = true;
    desk.hub.state().mishaps.push_back(Mishap::Cut(100_000));
    let error = desk.clip().unwrap_err();
    assert!(matches!(error, HubError::Answer { .. }), "{error:?}");
    assert_eq!(fs::metadata(desk.part()).unwrap().len(), 100_000, "what was good is kept");
}

#[test]
fn a_bad_part_is_thrown_away() {
    for garbage in [vec![7; 1000], vec![7; weights().len()], vec![7; weights().len() + 1]] {
        let desk = Desk::new(small_clip());
        desk.hub.state().mishaps.extend([Mishap::Status(404)]);
        desk.clip().unwrap_err();
        fs::write(desk.part(), garbage).unwrap();
        desk.assert_whole(&desk.clip().unwrap());
    }
}

#[test]
fn what_came_is_checked() {
    let mut same_length = weights();
    same_length[77] ^= 1;
    let mut longer = weights();
    longer.push(0);
    for forged in [same_length, longer] {
        let desk = Desk::new(small_clip());
        desk.hub.state().forged.insert(WEIGHTS.into(), forged);
        let error = desk.clip().unwrap_err();
        assert!(matches!(error, HubError::Corrupt { .. }), "{error:?}");
        assert!(!desk.repository().join("snapshots").join(COMMIT).join(WEIGHTS).exists());
        assert!(blobs(&desk.repository()).iter().all(|path| path.extension().is_none()));
    }
}

#[test]
fn silence_is_noticed() {
    let mut desk = Desk::new(small_clip());
    desk.config.stall = Duration::from_millis(300);
    desk.hub.state().mishaps.push_back(Mishap::Silence(100_000));
    let start = Instant::now();
    desk.assert_whole(&desk.clip().unwrap());
    assert!(start.elapsed() < Duration::from_secs(60));

    // Somebody who takes connections and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let desk = {
        let mut desk = Desk::new(small_clip());
        desk.config.endpoint = format!("http://{}", mute.local_addr().unwrap());
        desk.config.stall = Duration::from_millis(200);
        desk
    };
    let error = desk.clip().unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("nothing came"), "{error}");
}

#[test]
fn refusals() {
    for (status, token) in [(401, None), (403, Some("hf_secret"))] {
        let mut desk = Desk::new(small_clip());
        desk.config.token = token.map(Into::into);
        desk.hub.state().status = Some((status, "GatedRepo"));
        let error = desk.clip().unwrap_err();
        assert!(matches!(error, HubError::Refused { .. }), "{error:?}");
        let message = error.to_string();
        for word in ["ada/clip", &status.to_string(), "HF_TOKEN", "licence", &desk.hub.endpoint()] {
            assert!(message.contains(word), "{word}: {message}");
        }
        assert!(!message.contains("hf_secret"));
        // The listing of a gated repository is open, its files are not.
        desk.hub.state().status = None;
        desk.hub.state().mishaps.push_back(Mishap::Status(status));
        assert!(matches!(desk.clip(), Err(HubError::Refused { .. })));
    }
}

#[test]
fn what_is_not_there() {
    let desk = Desk::new(small_clip());
    for (code, words) in [
        ("RepoNotFound", "no such repository;"),
        ("RevisionNotFound", "no revision v9 of it"),
        ("", "no such repository, or no revision v9"),
    ] {
        desk.hub.state().status = Some((404, code));
        let error = desk.resolve("hf:ada/clip@v9").unwrap_err();
        assert!(matches!(error, HubError::Unknown { .. }), "{error:?}");
        assert!(
            error.to_string().contains(words) && error.to_string().contains("ada/clip"),
            "{error}"
        );
    }
    desk.hub.state().status = None;
    assert!(matches!(desk.resolve("hf:bob/clip"), Err(HubError::Unknown { .. })));
    desk.hub.state().mishaps.push_back(Mishap::Status(404));
    let error = desk.clip().unwrap_err();
    assert!(error.to_string().contains(&format!("file {WEIGHTS}")), "{error}");
}

#[test]
fn answers_that_are_none() {
    let desk = Desk::new(small_clip());
    let deep = "[".repeat(200_000);
    let traversal = r#"{"sha": "../../../../etc", "siblings": []}"#;
    for listing in ["", "<html>", "{}", r#"{"sha": 1, "siblings": 2}"#, traversal, &deep] {
        desk.hub.state().listing = Some(listing.into());
        let error = desk.clip().unwrap_err();
        assert!(matches!(error, HubError::Answer { .. }), "{error:?}");
    }
    desk.hub.state().status = Some((500, ""));
    assert!(desk.clip().unwrap_err().to_string().contains("try again later"));
    // A redirect to nowhere.
    desk.hub.state().status = Some((302, ""));
    assert!(matches!(desk.clip(), Err(HubError::Answer { .. })));
}

#[test]
fn hashes_of_a_hostile_listing_are_no_paths() {
    let desk = Desk::new(FakeHub::new(&[("config.json", b"{}"), (WEIGHTS, b"w")]));
    desk.hub.state().listing = Some(
        serde_json::json!({ "sha": COMMIT, "siblings": [
            { "rfilename": "config.json", "blobId": "../../../evil" },
            { "rfilename": WEIGHTS, "blobId": "/evil" },
            { "rfilename": "../../evil", "blobId": "x" },
        ]})
        .to_string(),
    );
    let folder = desk.clip().unwrap();
    assert_eq!(files(&folder), ["config.json", WEIGHTS]);
    assert_eq!(files(&desk.config.cache), [".locks", "models--ada--clip"]);
    assert_eq!(files(&desk.repository()), ["blobs", "refs", "snapshots"]);
}

#[test]
fn a_mirror_that_lists_names_only() {
    let desk = Desk::new(small_clip());
    desk.hub.state().bare_listing = true;
    desk.hub.state().mishaps.push_back(Mishap::Cut(100_000));
    desk.assert_whole(&desk.clip().unwrap());
}

#[test]
fn nobody_at_the_address() {
    let mut desk = Desk::new(small_clip());
    let folder = desk.clip().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    desk.config.endpoint = format!("http://{closed}");
    // The cached revision is better than nothing.
    assert_eq!(desk.clip().unwrap(), folder);

    let error = desk.resolve("hf:ada/other").unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("ada/other") && message.contains("cannot reach http://127"),
        "{message}"
    );

    desk.config.endpoint = "http://no-such-host.invalid".into();
    let error = desk.resolve("hf:ada/other").unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
}

#[test]
fn offline() {
    let mut desk = Desk::new(small_clip());
    desk.config.offline = true;
    let error = desk.clip().unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }), "{error:?}");
    assert!(error.to_string().contains("ada/clip") && error.to_string().contains("HF_HUB_OFFLINE"));

    desk.config.offline = false;
    let folder = desk.clip().unwrap();
    desk.hub.requests();
    desk.config.offline = true;
    assert_eq!(desk.clip().unwrap(), folder);
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    let error = desk.clip().unwrap_err();
    assert!(error.to_string().contains("weights"), "{error}");
    assert!(desk.hub.requests().is_empty());
}

#[test]
fn a_cache_that_cannot_be_written() {
    let mut desk = Desk::new(small_clip());
    let file = desk.config.cache.with_file_name("file");
    fs::write(&file, "").unwrap();
    desk.config.cache = file;
    let error = desk.clip().unwrap_err();
    assert!(matches!(error, HubError::Disk { .. }), "{error:?}");
    assert!(error.to_string().contains("HF_HOME"), "{error}");
}

#[test]
fn two_at_once() {
    let mut desk = Desk::new(small_clip());
    let folders: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| desk.clip().unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    desk.assert_whole(&folders[0]);
    let cdn =
        desk.hub.requests().iter().filter(|request| request.path.starts_with("/cdn/")).count();
    assert_eq!(cdn, 1, "the others wait");

    // Another process holds the lock for good.
    fs::remove_dir_all(desk.repository()).unwrap();
    desk.config.stall = Duration::from_millis(300);
    let locks = desk.config.cache.join(".locks/models--ada--clip");
    let held: Vec<_> =
        files(&locks).iter().map(|name| fs::File::open(locks.join(name)).unwrap()).collect();
    held.iter().for_each(|lock| lock.lock().unwrap());
    let error = desk.clip().unwrap_err();
    assert!(matches!(error, HubError::Busy { .. }), "{error:?}");
}
