//! A burn module that has nothing to do with CLIP, federated with a strategy of your own. Four clients
//! each know one quadrant of the plane, and learn together which points lie in a ring:
//!
//! ```sh
//! cargo run --release -p flora --example own_model
//! ```

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData, activation};
use flora::core::{HostTensor, ParameterRecord};
use flora::federation::*;
use flora::lora::named::{Entry, Place, assign, collect};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

fn by_name(place: Place<'_>) -> Option<Entry> {
    Some(Entry::plain(place.name))
}

struct Quadrant {
    net: Net,
    adam: ModuleOptimizer,
    points: Tensor<2>,
    in_ring: Tensor<2>,
    info: ClientInfo,
}

impl Quadrant {
    fn new([x, y]: [f32; 2], net: &Net, device: &Device) -> Self {
        let point = |at| [x * (at % 16) as f32 / 8.0, y * (at / 16) as f32 / 8.0];
        let in_ring = |at| f32::from((0.8..1.6).contains(&point(at)[0].hypot(point(at)[1])));
        let tensor = |values: Vec<f32>, width| {
            Tensor::from_data(TensorData::new(values, [256, width]), device)
        };
        let info = ClientInfo { id: format!("{x} {y}"), num_examples: 256, num_test_examples: 256 };
        let (points, in_ring) = ((0..256).flat_map(point), (0..256).map(in_ring));
        let (points, in_ring) = (tensor(points.collect(), 2), tensor(in_ring.collect(), 1));
        Self { net: net.clone(), adam: AdamConfig::new().init(), points, in_ring, info }
    }

    fn work(&mut self, task: &Task) -> Result<Message, Box<dyn std::error::Error>> {
        let sent = task.message.expect_parameters(&self.info.id)?;
        let mut net = assign(self.net.clone(), by_name, sent)?;
        let logits = |net: &Net| net.output.forward(net.hidden.forward(self.points.clone()).tanh());
        if task.kind == Kind::Train {
            for _ in 0..5 {
                let loss =
                    activation::softplus(logits(&net), 1.0) - logits(&net) * self.in_ring.clone();
                let gradients = GradientsParams::from_grads(loss.mean().backward(), &net);
                net = self.adam.step(0.03, net, gradients);
            }
            return Ok(Message::trained(collect(&net, by_name)?, 256, Metrics::new()));
        }
        let right = logits(&net).greater_elem(0.0).float().equal(self.in_ring.clone());
        let accuracy = f64::from(right.float().mean().into_scalar::<f32>());
        Ok(Message::tested(256, Metrics::from([("accuracy".to_owned(), accuracy)])))
    }
}

impl Client for Quadrant {
    fn info(&self) -> ClientInfo {
        self.info.clone()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        self.work(task).map_err(|error| ClientError::new(&self.info.id, error.to_string()))
    }
}

/// Every number moves half as far again as its mean over the clients.
struct Further;

impl Strategy for Further {
    fn name(&self) -> &str {
        "further"
    }

    fn aggregate(&mut self, global: &Global, all: &[Accepted]) -> Result<Aggregate, StrategyError> {
        let mut next = ParameterRecord::new();
        for (name, mean) in FedAvg.aggregate(global, all)?.parameters.iter() {
            let old = global.parameters.get(name).expect("the mean has its names").to_f32();
            let further = |(old, mean): (&f32, &f32)| old + 1.5 * (mean - old);
            let values = old.iter().zip(mean.to_f32().iter()).map(further).collect();
            next.insert(name, HostTensor::from_f32(mean.shape(), values)?)?;
        }
        Ok(Aggregate::new(next))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = flora::device::parse("cpu")?.autodiff();
    let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
    let net = Net { hidden: layer(2, 32), output: layer(32, 1) };
    let client = |signs| Box::new(Quadrant::new(signs, &net, &device)) as Box<dyn Client>;
    let signs = [[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]];
    let mut fleet = Simulation::new(signs.map(client).into(), 2)?;
    let config = RoundsConfig { rounds: 100, ..RoundsConfig::default() };
    let mut tell = |event: &Event| {
        if let Event::Evaluated { round, accuracy, .. } = event {
            println!("round {round}: {:.1} %", 100.0 * accuracy);
        }
    };
    Rounds::new(&config).run(&mut fleet, &mut Further, collect(&net, by_name)?, &mut tell)?;
    Ok(())
}
