//! Trust between nodes and a real SuperLink.
#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::superlink::{
    Process, World, assert_same_bits, cache, failures, free_port, write_small_experiment,
};
use support::{done, flora, text, tiny_clip};

fn openssl(folder: &Path, arguments: &str) {
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).current_dir(folder);
    done(command);
}

/// A CA, and its certificate for this machine: `NAME-ca.pem`, `NAME.pem` and `NAME.key`.
fn certificates(folder: &Path, name: &str) -> PathBuf {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!(
            "req -x509 {key} -keyout {name}-ca.key -out {name}-ca.pem -subj /CN={name} -days 2 \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        ),
    );
    std::fs::write(
        folder.join("extensions"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n",
    ).unwrap();
    openssl(folder, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN=localhost"));
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial -days 2 \
         -extfile extensions -out {name}.pem"
        ),
    );
    folder.join(format!("{name}-ca.pem"))
}

/// The command must end by itself with a failure; returns its message.
fn fails(command: Command, log: PathBuf) -> String {
    let mut process = Process::start(command, log);
    let status = process.wait();
    assert!(!status.success(), "{}", process.said());
    process.said()
}

#[test]
#[ignore = "needs flwr; see support/superlink.rs"]
fn only_registered_keys_trusted_certificates_and_right_clocks_get_through() {
    let folder = tempfile::tempdir().unwrap();
    let ca = certificates(folder.path(), "real");
    let other_ca = certificates(folder.path(), "other");
    let mut world = World::with(
        folder,
        &[
            "--host",
            "127.0.0.1",
            "--ssl-certfile",
            "real.pem",
            "--ssl-keyfile",
            "real.key",
            "--ssl-ca-certfile",
            "real-ca.pem",
            "--enable-supernode-auth",
        ],
        Some(ca.clone()),
    );
    let experiment = write_small_experiment(&world.path(""), 2, 1);
    let data = world.path("things.toml");

    // An unregistered key.
    for domain in ["acme", "zenith"] {
        let said = fails(world.node_command(&data, domain), world.path("stranger.log"));
        assert!(said.contains("flwr supernode register node.key.pub"), "{said}");
        assert!(said.contains("node.key.pub to its operator, who runs"), "{said}");
        let key = world.path(domain).join("node.key.pub");
        let registered = world.flwr(&["supernode", "register", key.to_str().unwrap(), "test"]);
        assert!(
            registered.status.success(),
            "{}{}",
            text(&registered.stdout),
            text(&registered.stderr)
        );
    }

    // A CA that did not sign the SuperLink's certificate.
    world.root_certificates = Some(other_ca.clone());
    let said = fails(world.node_command(&data, "acme"), world.path("ca.log"));
    assert!(
        said.contains("its certificate is not accepted") && said.contains("--root-certificates"),
        "{said}"
    );

    // A man in the middle with its own certificate sees only a failed handshake.
    let port = free_port();
    let mut command = Command::new("openssl");
    let accept = format!("127.0.0.1:{port}");
    command.args([
        "s_server",
        "-quiet",
        "-accept",
        &accept,
        "-cert",
        "other.pem",
        "-key",
        "other.key",
    ]);
    command.current_dir(world.path(""));
    let middle = Process::start(command, world.path("middle.log"));
    support::wait_for("the man in the middle", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    world.through = Some(format!("https://127.0.0.1:{port}"));
    world.root_certificates = Some(ca.clone());
    let said = fails(world.node_command(&data, "acme"), world.path("middled.log"));
    assert!(said.contains("someone else may be answering"), "{said}");
    assert!(!middle.says("/v1/") && !middle.says("flwr-"), "{}", middle.said());
    // If it were trusted, it would see everything.
    world.root_certificates = Some(other_ca);
    let mut trusting =
        Process::start(world.node_command(&data, "acme"), world.path("trusting.log"));
    support::wait_for("a request", || middle.says("POST /v1/fleet/"));
    trusting.kill();
    drop((middle, trusting));
    world.through = None;
    world.root_certificates = Some(ca);

    // A wrong clock.
    match Command::new("faketime").arg("--version").output() {
        Ok(_) => {
            // With a clock that is behind, this test's certificate is not valid yet.
            for (offset, words) in [("-10m", "check this machine's clock"), ("+10m", "s ahead of")]
            {
                let node = world.node_command(&data, "acme");
                let mut command = Command::new("faketime");
                command.args(["-f", offset]).arg(node.get_program()).args(node.get_args());
                command.env("FLORA_CACHE", cache()).current_dir(node.get_current_dir().unwrap());
                let said = fails(command, world.path("clock.log"));
                assert!(said.contains(words), "{said}");
            }
        }
        Err(_) => println!("skip  faketime is not there: apt-get install faketime"),
    }

    // Sites that the operator registered can take part.
    for domain in ["acme", "zenith"] {
        let mut command = world.node_command(&data, domain);
        command.arg("--model").arg(tiny_clip());
        world.start_node(command, domain);
    }
    let (simulated, served) = (world.path("simulated"), world.path("served"));
    let mut command = flora(&cache());
    command.current_dir(world.path("")).arg("run").arg(&experiment).arg("--out").arg(&simulated);
    done(command);
    let mut command = world.serve_command(&served);
    command.arg(&experiment).arg("--names").arg(world.names());
    done(command);
    assert_same_bits(&served, &simulated, "over TLS");
    assert!(failures(&served).is_empty(), "{:?}", failures(&served));
}
