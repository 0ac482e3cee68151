//! Downloads from the hub.
//!
//! `hf-hub` implements the hub's protocol: addresses, the listing of a repository, the token. The files themselves are
//! downloaded by [`transfer`], not by `hf_hub`'s `download`, which (in 0.5.0) appends any answer of a server to a part
//! file, names cache files by the server's headers, sends the token to the hosts that it is redirected to, and waits
//! forever on a silent connection.

mod failure;
mod store;
mod transfer;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use flora_core::files::write_atomic;
use hf_hub::api::sync::{Api, ApiBuilder, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

use crate::cache::{CachePaths, is_hash};
use crate::plan::{Kind, Weights, needs_config, plan, shards};
use crate::{DownloadProgress, HubConfig, HubError, HubModel};
use failure::Context;
use transfer::{Listed, Transfer};

/// Far larger than any listing, and small enough for memory.
const LONGEST_LISTING: usize = 64 << 20;

pub(crate) fn fetch(
    model: &HubModel,
    kind: Kind,
    config: &HubConfig,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    let layout = CachePaths::new(&config.cache, model);
    // Unlike a branch, a commit does not change.
    if config.offline || is_hash(model.revision_or_main()) {
        match layout.complete(model, kind) {
            Ok(folder) => return Ok(folder),
            Err(problem) if config.offline => {
                return Err(HubError::Offline {
                    repository: model.repository(),
                    cache: config.cache.clone(),
                    problem,
                });
            }
            Err(_) => {}
        }
    }
    let context = Context { model, config };
    match download(&context, &layout, kind, progress) {
        // As in huggingface_hub: an earlier state of the branch is better than nothing.
        Err(error @ HubError::Unreachable { .. }) => {
            layout.complete(model, kind).map_err(|_| error)
        }
        other => other,
    }
}

fn download(
    context: &Context<'_>,
    layout: &CachePaths,
    kind: Kind,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    let model = context.model;
    let api = api(context)?;
    let repository = |revision: &str| {
        api.repo(Repo::with_revision(model.repository(), RepoType::Model, revision.to_owned()))
    };
    let listing = listing(context, &repository(model.revision_or_main()))?;
    let names: BTreeSet<String> = listing.files.keys().cloned().collect();
    let incomplete = |problem| HubError::Incomplete { repository: model.repository(), problem };

    // At the commit, so that all files belong to one revision even if it is updated meanwhile.
    let pinned = repository(&listing.commit);
    let transfer = Transfer::new(context, layout, &listing.commit);
    let mut get = |name: &str| {
        let file =
            listing.files.get(name).ok_or_else(|| incomplete(format!("there is no {name}")))?;
        transfer.file(&pinned.url(name), name, file, progress)
    };
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| HubError::Disk { path: path.to_owned(), error })
    };

    let content = match needs_config(kind, &names) {
        true => Some(read(&get("config.json")?)?),
        false => None,
    };
    let plan = plan(kind, &names, content.as_deref()).map_err(incomplete)?;
    for name in plan.small {
        get(name)?;
    }
    let weights = get(plan.weights.name())?;
    if let Weights::Index(name) = plan.weights {
        let shards = shards(&read(&weights)?, &names)
            .map_err(|problem| incomplete(format!("{name}: {problem}")))?;
        for shard in shards {
            get(&shard)?;
        }
    }

    // Last, so that a branch in the cache always refers to existing files.
    if model.revision_or_main() != listing.commit {
        let path = layout.reference(model.revision_or_main());
        write_atomic(&path, listing.commit.as_bytes())
            .map_err(|error| HubError::Disk { path, error })?;
    }
    Ok(layout.snapshot(&listing.commit))
}

fn api(context: &Context<'_>) -> Result<Api, HubError> {
    ApiBuilder::from_cache(Cache::new(context.config.cache.clone()))
        .with_endpoint(context.config.endpoint.clone())
        .with_token(context.config.token.clone())
        .with_progress(false)
        .with_user_agent("flora", env!("CARGO_PKG_VERSION"))
        .build()
        .map_err(|error| context.answer(format!("no client can be made: {error}")))
}

/// The files of a repository at a commit.
struct Listing {
    commit: String,
    files: BTreeMap<String, Listed>,
}

fn listing(context: &Context<'_>, repository: &ApiRepo) -> Result<Listing, HubError> {
    #[derive(Deserialize)]
    struct Info {
        sha: String,
        siblings: Vec<Sibling>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Sibling {
        rfilename: String,
        size: Option<u64>,
        blob_id: Option<String>,
        lfs: Option<Lfs>,
    }
    #[derive(Deserialize)]
    struct Lfs {
        sha256: String,
        size: u64,
    }

    // With sizes and hashes.
    let request = repository.info_request().query("blobs", "true");
    let request = request.config().http_status_as_error(false).build();
    let answer = wire::send(context.config.stall, move || request.call())
        .map_err(|failure| context.unreachable(failure))?;
    if answer.status != 200 {
        return Err(context.status(&answer, None));
    }
    let body = answer
        .whole(LONGEST_LISTING)
        .map_err(|problem| context.answer(format!("the listing broke off: {problem}")))?;
    let info: Info = serde_json::from_slice(&body).map_err(|error| {
        context.answer(format!("not the listing of a hub ({error}); is HF_ENDPOINT right?"))
    })?;
    if !is_hash(&info.sha) {
        return Err(context.answer(format!("{:?} is not a commit", info.sha)));
    }
    let files = info.siblings.into_iter().map(|sibling| {
        let (size, sha256) = match sibling.lfs {
            Some(lfs) => (Some(lfs.size), Some(lfs.sha256)),
            None => (sibling.size, None),
        };
        (sibling.rfilename, Listed { size, sha256, blob_id: sibling.blob_id })
    });
    Ok(Listing { commit: info.sha, files: files.collect() })
}
