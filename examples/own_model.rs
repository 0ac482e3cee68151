//! Federates a burn module that is no CLIP, with a strategy of your own: four clients, each with one
//! quadrant of the plane, learn a ring (`cargo run --release -p flora --example own_model`).

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, activation::softplus};
use flora::lora::named::{Entry, assign, collect};
use flora::{core::HostTensor, federation::*};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

struct Quadrant {
    net: Net,
    adam: ModuleOptimizer,
    points: Tensor<2>,
    ring: Tensor<2>,
    id: String,
}

impl Quadrant {
    fn new([x, y]: [f32; 2], net: &Net, device: &Device) -> Self {
        let point = |at| [x * (at % 16) as f32 / 8.0, y * (at / 16) as f32 / 8.0];
        let points: Vec<f32> = (0..256).flat_map(point).collect();
        let points = Tensor::<1>::from_data(&points[..], device).reshape([256, 2]);
        let ring = (points.clone().powi_scalar(2).sum_dim(1) - 1.6).abs().lower_elem(0.96).float();
        let (net, adam, id) = (net.clone(), AdamConfig::new().init(), format!("{x} {y}"));
        Self { net, adam, points, ring, id }
    }

    fn work(&mut self, task: &Task) -> Result<Message, Box<dyn std::error::Error>> {
        let sent = task.message.expect_parameters(&self.id)?;
        let mut net = assign(self.net.clone(), Entry::every, sent)?;
        let logits = |net: &Net| net.output.forward(net.hidden.forward(self.points.clone()).tanh());
        if task.kind == Kind::Train {
            for _ in 0..10 {
                let logits = logits(&net);
                let loss = softplus(logits.clone(), 1.0) - logits * self.ring.clone();
                let gradients = GradientsParams::from_grads(loss.mean().backward(), &net);
                net = self.adam.step(0.03, net, gradients);
            }
            return Ok(Message::trained(collect(&net, Entry::every)?, 256, Metrics::new()));
        }
        let right = logits(&net).greater_elem(0.0).float().equal(self.ring.clone());
        let accuracy = f64::from(right.float().mean().into_scalar::<f32>());
        Ok(Message::tested(256, Metrics::from([("accuracy".to_owned(), accuracy)])))
    }
}

impl Client for Quadrant {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.id.clone(), num_examples: 256, num_test_examples: 256 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        self.work(task).map_err(|error| ClientError::new(&self.id, error.to_string()))
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
            let further = |(at, value): (usize, &f32)| old[at] + 1.5 * (value - old[at]);
            let values = mean.to_f32().iter().enumerate().map(further).collect();
            next.insert(name, HostTensor::from_f32(mean.shape(), values)?)?;
        }
        Ok(Aggregate::new(next))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = flora::device::take_from(&mut std::env::args().skip(1).collect())?.autodiff();
    device.seed(1);
    let [hidden, output] = [(2, 32), (32, 1)].map(|(i, o)| LinearConfig::new(i, o).init(&device));
    let net = Net { hidden, output };
    let client = |signs| Box::new(Quadrant::new(signs, &net, &device)) as Box<dyn Client>;
    let signs = [[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]];
    let mut fleet = Simulation::new(signs.map(client).into(), 2)?;
    let config = RoundsConfig { rounds: 200, ..RoundsConfig::default() };
    let initial = collect(&net, Entry::every)?;
    let outcome =
        Rounds::new(&config).run(&mut fleet, &mut Further, initial, &mut |_: &Event| ())?;
    let [before, after] = [outcome.initial, outcome.last_round].map(|it| 100.0 * it.accuracy);
    println!("accuracy {before:.1} % before, {after:.1} % after 200 rounds");
    Ok(())
}
