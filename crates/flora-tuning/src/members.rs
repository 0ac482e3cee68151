//! The clients of a run, in this process or at sites.

use std::path::Path;

use flora_federation::{
    Answer, AtRest, ClientInfo, ClientStates, Fleet, FleetError, Simulation, Task, Wait,
};

use crate::travel::Noise;

/// The clients of a run, in this process or at sites.
pub(crate) enum Members {
    /// Values of this process.
    Here {
        simulation: Simulation,
        /// Where idle clients store their states.
        at_rest: AtRest,
    },
    /// Sites, each with its own images, which store their own states.
    AtSites(Box<dyn Fleet>),
}

impl Members {
    /// Makes the clients of this process write their states into the file `path`, which exists if a run is resumed.
    /// Without a path, they use a temporary file in the folder `cache`, if they need one.
    pub(crate) fn with_states(
        self,
        path: Option<&Path>,
        is_resumed: bool,
        cache: Option<&Path>,
    ) -> Result<Self, FleetError> {
        let Self::Here { simulation, at_rest } = self else { return Ok(self) };
        let states = match path {
            Some(path) if is_resumed => Some(ClientStates::open(path)?),
            Some(path) => Some(ClientStates::create(path)?),
            // A disk with space for image features has some for this.
            None if at_rest == AtRest::Disk => Some(ClientStates::temporary(cache)?),
            None => None,
        };
        let simulation = match states {
            Some(states) => simulation.with_states(states, at_rest),
            None => simulation,
        };
        Ok(Self::Here { simulation, at_rest })
    }

    /// The source of the server's noise.
    pub(crate) fn noise(&self) -> Noise {
        match self {
            Self::Here { .. } => Noise::Seeded,
            Self::AtSites(_) => Noise::Fresh,
        }
    }

    fn fleet(&mut self) -> &mut dyn Fleet {
        match self {
            Self::Here { simulation, .. } => simulation,
            Self::AtSites(fleet) => &mut **fleet,
        }
    }
}

impl Fleet for Members {
    fn clients(&mut self, round: usize) -> Result<Vec<ClientInfo>, FleetError> {
        self.fleet().clients(round)
    }

    fn exchange(
        &mut self,
        tasks: Vec<Task>,
        wait: &Wait,
        deliver: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        self.fleet().exchange(tasks, wait, deliver)
    }

    fn bytes_down(&mut self, task: &Task) -> u64 {
        self.fleet().bytes_down(task)
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        self.fleet().commit()
    }

    fn restore(&mut self, committed: &[u8]) -> Result<(), FleetError> {
        self.fleet().restore(committed)
    }
}
