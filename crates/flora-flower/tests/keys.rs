//! Keys of Python's `cryptography` and of `ssh-keygen`, and names.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::fixtures;
use flora_flower::key::{KeyError, NodeKey, PublicKey};
use flora_flower::names::Names;
use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

fn fixture(name: &str) -> String {
    std::fs::read_to_string(fixtures().join("keys").join(name)).unwrap()
}

/// A file that only its owner may read, as git does not keep them.
fn private(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("key");
    std::fs::write(&path, text).unwrap();
    chmod(&path, 0o600);
    path
}

fn chmod(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

#[test]
fn all_forms_of_a_private_key_are_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let public = PublicKey::from_pem(fixture("public.pem").as_bytes()).unwrap();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n";
    for text in [
        fixture("pkcs8.pem"),
        fixture("sec1.pem"),
        fixture("openssh"),
        format!("{parameters}{}", fixture("sec1.pem")),
        fixture("openssh").replace('\n', "\r\n"),
    ] {
        let key = NodeKey::load(&private(folder.path(), &text)).unwrap();
        assert_eq!(key.public_key(), &public);
        assert_eq!(key.public_key().pem(), fixture("public.pem"));
        let point = public_point(&key);
        let signature = Signature::from_der(&key.sign(b"2026")).unwrap();
        point.verify_prehash(&Sha256::digest(b"2026"), &signature).unwrap();
        assert!(point.verify_prehash(&Sha256::digest(b"2027"), &signature).is_err());
    }
}

fn public_point(key: &NodeKey) -> VerifyingKey {
    use p384::pkcs8::DecodePublicKey;
    let base64: String = key.public_key().pem().lines().filter(|it| !it.starts_with('-')).collect();
    use base64::Engine;
    let der = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    p384::PublicKey::from_public_key_der(&der).unwrap().into()
}

#[test]
fn other_private_keys_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str| match NodeKey::load(&private(folder.path(), text)) {
        Ok(_) => panic!("{text}"),
        Err(error) => error.to_string(),
    };
    for name in ["locked-openssh", "locked-pkcs8.pem", "locked-sec1.pem"] {
        let error = refused(&fixture(name));
        assert!(error.contains("is encrypted") && error.contains("ssh-keygen -p"), "{error}");
    }
    for name in ["p256", "p521", "public.pem", "public.pub"] {
        let error = refused(&fixture(name));
        assert!(error.contains("ssh-keygen -t ecdsa -b 384"), "{name}: {error}");
    }
    // Any damage is an error, and none a panic.
    for name in ["openssh", "pkcs8.pem", "sec1.pem"] {
        let text = fixture(name);
        for end in 0..text.trim_end().len() {
            refused(&text[..end]);
        }
    }
    refused("");
    #[cfg(unix)]
    for mode in [0o640, 0o604, 0o620] {
        let path = private(folder.path(), &fixture("openssh"));
        chmod(&path, mode);
        let Err(error) = NodeKey::load(&path) else { panic!("{mode:o}") };
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    let missing = NodeKey::load(&folder.path().join("none"));
    assert!(matches!(missing, Err(KeyError::Read { .. })));
}

#[test]
fn a_damaged_byte_of_an_openssh_key_is_never_another_key() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let folder = tempfile::tempdir().unwrap();
    let text = fixture("openssh");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(body).unwrap();
    let public = PublicKey::from_pem(fixture("public.pem").as_bytes()).unwrap();
    for place in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x81;
        let body = STANDARD.encode(bytes);
        let text = format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
        );
        if let Ok(key) = NodeKey::load(&private(folder.path(), &text)) {
            assert_eq!(key.public_key(), &public, "{place}");
        }
    }
}

#[test]
fn public_keys_are_those_of_openssh() {
    let (key, comment) = PublicKey::from_openssh(&fixture("public.pub")).unwrap();
    assert_eq!(comment, "the comment");
    assert_eq!(key.pem(), fixture("public.pem"));
    assert_eq!(format!("{}\n", key.openssh("the comment")), fixture("public.pub"));
    assert_eq!(key.fingerprint(), fixture("fingerprint").trim());
    assert_eq!(key.short_id().len(), 8);
    for name in ["p256", "p521"] {
        let line = fixture(&format!("{name}.pub"));
        let (key, comment) = PublicKey::from_openssh(&line).unwrap();
        assert_eq!(key.pem(), fixture(&format!("{name}.pem")));
        assert_eq!((format!("{}\n", key.openssh("")), comment.as_str()), (line, ""));
        let read = PublicKey::from_pem(fixture(&format!("{name}.pem")).as_bytes()).unwrap();
        assert_eq!(read, key);
    }
    assert_eq!(key.openssh("a\nb\u{7}"), key.openssh("ab"), "a comment is one line");

    let line = fixture("public.pub");
    for end in 0..line.find(" the comment").unwrap() {
        assert!(PublicKey::from_openssh(&line[..end]).is_err(), "{end}");
    }
    let pem = fixture("public.pem");
    for end in 0..pem.trim_end().len() {
        assert!(PublicKey::from_pem(&pem.as_bytes()[..end]).is_err(), "{end}");
    }
    assert!(PublicKey::from_openssh("ssh-ed25519 AAAA x").is_err());
    // A point that is not on the curve.
    assert!(
        PublicKey::from_pem(
            pem.replace("MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE", "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAF")
                .as_bytes()
        )
        .is_err()
    );
}

#[test]
fn a_key_is_made_once_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/node.key");
    let (key, created) = NodeKey::load_or_create(&path, "north\nside").unwrap();
    assert!(created);
    let public = folder.path().join("new/node.key.pub");
    let line = std::fs::read_to_string(&public).unwrap();
    assert_eq!(line, format!("{}\n", key.public_key().openssh("northside")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&public)), (0o600, 0o644));
    }
    std::fs::remove_file(&public).unwrap();
    let (again, created) = NodeKey::load_or_create(&path, "north").unwrap();
    assert!(!created && again.public_key() == key.public_key());
    assert!(std::fs::read_to_string(&public).unwrap().ends_with(" north\n"));
    let names = std::fs::read_dir(folder.path().join("new")).unwrap().count();
    assert_eq!(names, 2, "no temporary file is left");
    assert_ne!(NodeKey::generate().unwrap().public_key(), key.public_key());

    let threads: Vec<_> = (0..4)
        .map(|_| {
            let path = folder.path().join("race.key");
            std::thread::spawn(move || {
                let (key, created) = NodeKey::load_or_create(&path, "x").unwrap();
                (key.public_key().clone(), created)
            })
        })
        .collect();
    let made: Vec<_> = threads.into_iter().map(|it| it.join().unwrap()).collect();
    assert_eq!(made.iter().filter(|(_, created)| *created).count(), 1);
    assert!(made.iter().all(|(key, _)| key == &made[0].0));
}

/// Where there is OpenSSH: it reads our files, and we read its.
#[test]
fn ssh_keygen_and_flora_read_each_others_files() {
    let keygen = |arguments: &[&str]| {
        let output = Command::new("ssh-keygen").args(arguments).stdin(Stdio::null()).output();
        output.ok().map(|output| {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{errors}");
            String::from_utf8(output.stdout).unwrap()
        })
    };
    let folder = tempfile::tempdir().unwrap();
    // Often enough to have numbers with and without leading zeros.
    for _ in 0..20 {
        let path = folder.path().join("ours");
        let (key, _) = NodeKey::load_or_create(&path, "site one").unwrap();
        let Some(line) = keygen(&["-y", "-f", path.to_str().unwrap()]) else {
            eprintln!("skipped: there is no ssh-keygen");
            return;
        };
        assert_eq!(line.trim(), key.public_key().openssh("site one"));
        let shown = keygen(&["-lf", folder.path().join("ours.pub").to_str().unwrap()]).unwrap();
        assert!(shown.contains(&key.public_key().fingerprint()), "{shown}");
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(folder.path().join("ours.pub")).unwrap();
    }
    let path = folder.path().join("theirs");
    let name = path.to_str().unwrap();
    keygen(&["-q", "-t", "ecdsa", "-b", "384", "-N", "", "-C", "theirs", "-f", name]).unwrap();
    let key = NodeKey::load(&path).unwrap();
    let line = std::fs::read_to_string(folder.path().join("theirs.pub")).unwrap();
    assert_eq!(line.trim(), key.public_key().openssh("theirs"));
}

#[test]
fn names_are_the_comments_of_public_keys() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Vec<_> = (0..2).map(|_| NodeKey::generate().unwrap()).collect();
    let lines: Vec<_> = keys
        .iter()
        .zip(["north", "süd ost"])
        .map(|(key, name)| key.public_key().openssh(name))
        .collect();
    let path = folder.path().join("names");
    std::fs::write(&path, format!("# ours\r\n\n{}\r\n{}", lines[0], lines[1])).unwrap();
    let names = Names::load(&path).unwrap();
    assert_eq!((names.len(), names.is_empty()), (2, false));
    assert_eq!(names.name(keys[0].public_key()), Some("north"));
    assert_eq!(names.name(keys[1].public_key()), Some("süd ost"));
    assert_eq!(names.name(NodeKey::generate().unwrap().public_key()), None);

    let key = |place: usize, name: &str| keys[place].public_key().openssh(name);
    let bell = format!("{} a\u{7}b", key(0, ""));
    for (text, line, word) in [
        (format!("{}\n{}", key(0, "a"), key(1, "a")), 2, "name `a` is in line 1"),
        (format!("{}\n\n{}", key(0, "a"), key(0, "b")), 3, "key is in line 1"),
        (key(0, ""), 1, "no name"),
        (key(0, &"x".repeat(101)), 1, "longer than 100"),
        (bell, 1, "control"),
        ("north".to_owned(), 1, "NAME"),
        (format!("#\nssh-ed25519 AAAA north\n{}", key(0, "a")), 2, "ecdsa-sha2-nistp384"),
    ] {
        let error = Names::parse(&text, Path::new("the/names")).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(&format!("names:{line}: ")), "{error}");
    }
    assert!(Names::parse(&key(0, &"x".repeat(100)), &path).is_ok());
    assert!(Names::load(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
}
