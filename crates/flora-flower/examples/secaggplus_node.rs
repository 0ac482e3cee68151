//! A SecAgg+ node for `benches/peers/secaggplus.py`: one line of JSON per message and one per reply.
//!
//! ```sh
//! cargo run --release -p flora-flower --example secaggplus_node -- NODE_ID
//! ```
//!
//! A message has `root` and `objects` (base64 by id). If the node has to train, it also has the result of the training:
//! `trained`, a list of shapes and values, and `num_examples`. A reply has `root`, `objects` and `bytes`, the size of
//! the node's state, or an `error`. Before each message, the node is rebuilt from its state, as after a restart.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{Message, Metrics};
use flora_flower::objects::{Content, Limits, ObjectError, deflate, inflate};
use flora_flower::random;
use flora_flower::secaggplus::{SecAggNode, Step};
use flora_flower::wire::message::Metadata;
use serde::{Deserialize, Serialize};

type Error = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Input {
    root: String,
    objects: HashMap<String, String>,
    trained: Vec<(Vec<usize>, Vec<f32>)>,
    num_examples: usize,
}

#[derive(Serialize, Default)]
struct Output {
    root: String,
    objects: HashMap<String, String>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn main() -> Result<(), Error> {
    let id = std::env::args().nth(1).ok_or("give the node's id")?.parse()?;
    let mut state = SecAggNode::new(id).to_bytes();
    for line in std::io::stdin().lock().lines() {
        let mut node = SecAggNode::from_bytes(&state)?;
        let output = match answer(&mut node, &serde_json::from_str(&line?)?) {
            Ok(output) => output,
            Err(error) => Output { error: Some(error.to_string()), ..Output::default() },
        };
        state = node.to_bytes();
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &Output { bytes: state.len(), ..output })?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

fn answer(node: &mut SecAggNode, input: &Input) -> Result<Output, Error> {
    let mut fetch = |id: &str| -> Result<_, ObjectError> {
        let content = input.objects.get(id).and_then(|text| STANDARD.decode(text).ok());
        Ok(content.unwrap_or_default())
    };
    let message = inflate(&input.root, Limits::default(), &mut fetch)?;
    let Content::Records(records) = message.content else { return Err("it has no content".into()) };
    let records = match node.receive(&records, &mut random)? {
        Step::Reply(records) => records,
        Step::Train(_) => node.trained(&trained(input)?, &mut random)?,
    };
    let asked = message.metadata;
    let metadata = Metadata {
        src_node_id: node.id(),
        dst_node_id: asked.src_node_id,
        reply_to_message_id: asked.message_id.clone(),
        dst_task_id: asked.src_task_id,
        src_task_id: None,
        ..asked
    };
    let objects = deflate(&metadata, &Content::Records(records));
    let contents = objects.contents.into_iter().map(|(id, content)| (id, STANDARD.encode(content)));
    Ok(Output { root: objects.root, objects: contents.collect(), ..Output::default() })
}

fn trained(input: &Input) -> Result<Message, Error> {
    let mut parameters = ParameterRecord::new();
    for (place, (shape, values)) in input.trained.iter().enumerate() {
        parameters
            .insert(place.to_string(), HostTensor::from_f32(shape.clone(), values.clone())?)?;
    }
    let metrics = Metrics::from([("loss".to_owned(), 0.5)]);
    let mut message = Message::parameters(Arc::new(parameters));
    message.metrics = metrics;
    message.metrics.insert(flora_federation::NUM_EXAMPLES.to_owned(), input.num_examples as f64);
    Ok(message)
}
