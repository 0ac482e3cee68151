//! A client's state as bytes, for a client that is not kept in memory between requests.

use std::collections::BTreeMap;

use curve25519_dalek::Scalar;
use ed25519_dalek::{SigningKey, VerifyingKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use super::{Client, Held, Peer, State};
use crate::{
    ClientId, Directory, Policy, Result, Setup,
    bytes::Wire,
    crypto,
    secrets::Secrets,
    wire::{Reader, VERSION, Writer},
};

impl Wire for VerifyingKey {
    const LEAST: usize = 32;

    fn write(&self, writer: &mut Writer) {
        self.to_bytes().write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Self::from_bytes(&reader.array()?).map_err(|_| reader.bad("an identity is no key"))
    }
}

impl Wire for Secrets {
    const LEAST: usize = 96;

    fn write(&self, writer: &mut Writer) {
        writer.raw(self.mask.as_bytes());
        writer.raw(self.seed.as_bytes());
        writer.raw(self.sealing.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut scalar = || -> Result<Zeroizing<Scalar>> {
            let found = Scalar::from_canonical_bytes(reader.array()?).into_option();
            found.map(Zeroizing::new).ok_or_else(|| reader.bad("a secret is out of range"))
        };
        Ok(Self {
            mask: scalar()?,
            seed: scalar()?,
            sealing: StaticSecret::from(reader.array::<32>()?),
        })
    }
}

impl Wire for Peer {
    const LEAST: usize = 96;

    fn write(&self, writer: &mut Writer) {
        self.identity.write(writer);
        self.pair.write(writer);
        self.incoming.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            identity: Wire::read(reader)?,
            pair: Wire::read(reader)?,
            incoming: Wire::read(reader)?,
        })
    }
}

impl Wire for Held {
    const LEAST: usize = 130;

    fn write(&self, writer: &mut Writer) {
        self.identity.write(writer);
        self.seed.write(writer);
        self.key.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            identity: Wire::read(reader)?,
            seed: Wire::read(reader)?,
            key: Wire::read(reader)?,
        })
    }
}

impl<T: Wire> Wire for BTreeMap<ClientId, T> {
    const LEAST: usize = 1;

    fn write(&self, writer: &mut Writer) {
        writer.number(self.len() as u64);
        for (client, value) in self {
            client.write(writer);
            value.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        (0..reader.count(1 + T::LEAST)?)
            .map(|_| Ok((Wire::read(reader)?, Wire::read(reader)?)))
            .collect()
    }
}

impl State {
    fn write(&self, writer: &mut Writer) {
        writer.u8(self.stage() as u8);
        match self {
            Self::Fresh => {}
            Self::Advertised { secrets, keys } => {
                secrets.write(writer);
                keys.write(writer);
            }
            Self::Dealt { seed, own, peers } => {
                seed.write(writer);
                own.write(writer);
                peers.write(writer);
            }
            Self::Masked { own, held, task } => {
                own.write(writer);
                held.write(writer);
                task.write(writer);
            }
            Self::Signed { own, held, task, survivors } => {
                own.write(writer);
                held.write(writer);
                task.write(writer);
                survivors.write(writer);
            }
            Self::Done { request, openings } => {
                request.write(writer);
                openings.write(writer);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match reader.u8()? {
            0 => Self::Fresh,
            1 => Self::Advertised { secrets: Wire::read(reader)?, keys: Wire::read(reader)? },
            2 => Self::Dealt {
                seed: Wire::read(reader)?,
                own: Wire::read(reader)?,
                peers: Wire::read(reader)?,
            },
            3 => Self::Masked {
                own: Wire::read(reader)?,
                held: Wire::read(reader)?,
                task: Wire::read(reader)?,
            },
            4 => Self::Signed {
                own: Wire::read(reader)?,
                held: Wire::read(reader)?,
                task: Wire::read(reader)?,
                survivors: Wire::read(reader)?,
            },
            5 => Self::Done { request: Wire::read(reader)?, openings: Wire::read(reader)? },
            other => return Err(reader.bad(format!("stage {other} is unknown"))),
        })
    }
}

impl Client {
    /// The state, for [`restore`](Self::restore).
    ///
    /// **It holds secrets in the clear**: together with the server's data it reveals the update. Keep it where
    /// only this client's user can read it, never send it, and erase it when the attempt is over. The identity key
    /// and the directory are not in it. Only the newest state may be restored; see [`answer`](Self::answer).
    pub fn save(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer(vec![VERSION]);
        self.id.write(&mut writer);
        self.setup.write(&mut writer);
        self.state.write(&mut writer);
        let sum = crypto::hash("state", &[&writer.0]);
        writer.raw(&sum);
        Zeroizing::new(writer.0)
    }

    /// A client as it was [saved](Self::save).
    ///
    /// # Errors
    ///
    /// Damaged bytes, another version, and the errors of [`new`](Self::new).
    pub fn restore(
        bytes: &[u8],
        identity: SigningKey,
        directory: Directory,
        policy: &Policy,
    ) -> Result<Self> {
        let mut reader = Reader::new("saved state", bytes);
        let state = reader.take(bytes.len().saturating_sub(32))?;
        if crypto::hash("state", &[state]) != reader.array()? {
            return Err(reader.bad("it is damaged: it does not match its checksum"));
        }
        let mut reader = Reader::new("saved state", state);
        reader.version()?;
        let (id, setup) = (ClientId::read(&mut reader)?, Setup::read(&mut reader)?);
        let mut client = Self::new(setup, id, identity, directory, policy)?;
        client.state = State::read(&mut reader)?;
        reader.end()?;
        Ok(client)
    }
}
