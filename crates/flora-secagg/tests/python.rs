//! Every byte that six clients send is what a Python program, which has the protocol of its own, says they send.

use std::{collections::BTreeMap, convert::Infallible};

use flora_secagg::{
    Client, ClientId, Config, Directory, Policy, Response, Server, Session, SigningKey, Stage,
    Update,
    rand_core::{TryCryptoRng, TryRng},
};
use serde_json::Value;

fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Random numbers that were drawn before.
struct Draws(Vec<u8>);

impl TryRng for Draws {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
        Ok(())
    }
}

impl TryCryptoRng for Draws {}

#[test]
fn all_answers_are_those_of_python() {
    check("protocol", |range| Config { range, packed: Some(false), ..Config::default() });
}

#[test]
fn all_answers_with_packed_lanes_of_rotated_updates_are_those_of_python() {
    check("packed", |norm| Config { norm: Some(norm), ..Config::default() });
}

fn check(name: &str, config: impl Fn(f32) -> Config) {
    let path = format!("{}/tests/fixtures/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let fixture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let whole = |name: &str| fixture[name].as_u64().unwrap();
    let config = Config {
        bits: Some(whole("bits") as u32),
        max_weight: whole("max_weight"),
        neighbours: Some(whole("degree") as usize),
        threshold: Some(whole("threshold") as usize),
        minimum: Some(whole("minimum") as usize),
        ..config(fixture["range"].as_f64().unwrap() as f32)
    };
    let cases: BTreeMap<ClientId, &Value> = fixture["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (ClientId(case["id"].as_u64().unwrap()), case))
        .collect();
    let identity =
        |id: &ClientId| SigningKey::from_bytes(&bytes(&cases[id]["identity"]).try_into().unwrap());
    let directory =
        Directory::Known(cases.keys().map(|id| (*id, identity(id).verifying_key())).collect());
    let session =
        Session { run: "fixture".into(), round: whole("round"), attempt: whole("attempt") };
    let mut seed = Draws(bytes(&fixture["seed"]));
    let setup = config
        .setup(session, cases.keys().copied().collect(), whole("length") as usize, &mut seed)
        .unwrap();

    let mut server = Server::new(setup.clone(), directory.clone());
    let client = |id| {
        Client::new(setup.clone(), id, identity(&id), directory.clone(), &Policy::default())
            .unwrap()
    };
    let mut clients: BTreeMap<ClientId, (Client, Draws)> =
        cases.iter().map(|(id, case)| (*id, (client(*id), Draws(bytes(&case["draws"]))))).collect();
    let dropped = ClientId(whole("dropped"));
    let mut requests = server.start();
    loop {
        let stage = server.stage();
        for (id, request) in requests {
            if id == dropped && stage == Stage::Masked {
                continue;
            }
            let case = cases[&id];
            let update = case["update"].as_array().unwrap();
            let values: Vec<f32> =
                update.iter().map(|value| value.as_f64().unwrap() as f32).collect();
            let task = bytes(&fixture["task"]).try_into().unwrap();
            let update = Update { values: &values, weight: case["weight"].as_u64().unwrap(), task };
            let (client, draws) = clients.get_mut(&id).unwrap();
            let answer = client.answer(&request, Some(update), draws).unwrap().to_bytes();
            let expected = bytes(&case["answers"][stage as usize]);
            assert_eq!(answer, expected, "client {id}, {stage}");
            server.receive(id, Response::from_bytes(&expected).unwrap()).unwrap();
        }
        if stage == Stage::Opened {
            break;
        }
        requests = server.close().unwrap();
    }
    assert!(clients.values().all(|(_, draws)| draws.0.is_empty()));
    let sum: Vec<u64> =
        fixture["sum"].as_array().unwrap().iter().map(|lane| lane.as_u64().unwrap()).collect();
    assert!(server.finish().unwrap().lanes().iter().map(|lane| u64::from(*lane)).eq(sum));
}
