//! A stateful strategy.

use flora_core::HostTensor;
use flora_federation::{
    Accepted, Aggregate, ClientInfo, FedAvg, Global, Kind, Message, ParameterRecord, Strategy,
    StrategyError, Value,
};

/// Momentum on the server, and a learning rate that falls with every message it sends.
#[derive(Default)]
pub(crate) struct Momentum {
    momentum: Option<ParameterRecord>,
    messages: u32,
}

fn tensor(values: Vec<f32>) -> HostTensor {
    HostTensor::from_f32([values.len()], values).unwrap()
}

impl Strategy for Momentum {
    fn name(&self) -> &str {
        "momentum"
    }

    fn instruct(&mut self, global: &Global, client: &ClientInfo, kind: &Kind) -> Message {
        self.messages += 1;
        let mut message = Message::parameters(global.parameters.clone());
        if *kind == Kind::Train {
            let rate = 0.3 / (1.0 + 0.01 * f64::from(self.messages));
            let rate = rate + 0.001 * client.num_examples as f64;
            message.config.insert("rate".to_owned(), Value::Float(rate));
        }
        message
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let mean = FedAvg.aggregate(global, accepted)?.parameters;
        let (mut momentum, mut next) = (ParameterRecord::new(), ParameterRecord::new());
        // Depends on the order of the tensors.
        let mut carry = 0.1_f32;
        for (name, before) in global.parameters.iter() {
            let before = before.to_f32();
            let earlier = self.momentum.as_ref().map(|it| it.get(name).unwrap().to_f32());
            let earlier = earlier.map_or(vec![0.0; before.len()], |values| values.into_owned());
            let mean = mean.get(name).unwrap().to_f32();
            let mut now = Vec::new();
            for ((earlier, mean), before) in earlier.iter().zip(mean.iter()).zip(before.iter()) {
                now.push(0.6 * earlier + 0.4 * (mean - before) + 0.001 * carry);
                carry = 0.5 * carry + now[now.len() - 1];
            }
            let after = before.iter().zip(&now).map(|(before, now)| before + now).collect();
            momentum.insert(name, tensor(now))?;
            next.insert(name, tensor(after))?;
        }
        self.momentum = Some(momentum);
        Ok(Aggregate::new(next))
    }

    fn state(&self) -> Message {
        let mut state = Message::default();
        state.config.insert("messages".to_owned(), Value::Int(i64::from(self.messages)));
        if let Some(momentum) = &self.momentum {
            state.records.insert("momentum".to_owned(), momentum.clone().into());
        }
        state
    }

    fn restore(&mut self, mut state: Message) -> Result<(), StrategyError> {
        let Some(&Value::Int(messages)) = state.config.get("messages") else {
            return Err(StrategyError::State("there is no setting `messages`".to_owned()));
        };
        self.messages = messages as u32;
        self.momentum = state.records.remove("momentum").map(|record| record.as_ref().clone());
        Ok(())
    }
}
