//! Damaged and malicious checkpoints and adapters: each ends in an error that names its file, within a
//! second, in little memory, and without a panic.

mod adapters;
mod cases;
mod descriptions;
mod pytorch;
mod safetensors_files;

use std::time::{Duration, Instant};

use burn::tensor::Device;
use cases::Case;
use flora_inference::Model;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// In addition to three times the size of the files: the memory of a model of this size and its tokenizer, and the
/// table of the longest accepted pickle.
const FLOOR: usize = 16 << 20;

/// One test, so that nothing else is in memory meanwhile.
#[test]
fn every_damaged_file_is_refused() {
    let mut cases = safetensors_files::cases();
    cases.extend(pytorch::cases());
    cases.extend(descriptions::cases());
    cases.extend(adapters::cases());
    assert!(cases.len() >= 60, "{} cases", cases.len());
    // One-time initialisation counts for no case.
    cases::whole().open().expect("the fixture itself is whole");
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(problem) = judge(case) {
            wrong.push(format!("{}: {problem}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn judge(case: &Case) -> Result<(), String> {
    let folder = case.write();
    let size = folder.size();
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let started = Instant::now();
    let result = std::panic::catch_unwind(|| {
        let adapter = folder.adapter();
        Model::open(&folder.model(), adapter.as_deref(), &Device::flex()).map(drop)
    });
    let (took, peak) = (started.elapsed(), MEMORY.peak_usage().saturating_sub(before));
    let message = match result {
        Err(_) => return Err("panicked".into()),
        Ok(Ok(())) => return Err("was taken for a good one".into()),
        Ok(Err(error)) => error.to_string(),
    };
    println!("{}: {message}", case.name);
    for word in case.named {
        if !message.contains(word) {
            return Err(format!("no {word:?} in: {message}"));
        }
    }
    if message.len() > 1000 {
        return Err(format!("a message of {} bytes: {}…", message.len(), &message[..200]));
    }
    if took > Duration::from_secs(1) {
        return Err(format!("took {took:?}: {message}"));
    }
    let most = 3 * size + FLOOR;
    if peak > most {
        return Err(format!("took {peak} bytes of memory where {most} are allowed: {message}"));
    }
    Ok(())
}
