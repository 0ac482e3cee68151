use crate::{
    ClientId, Result, Rounding, SecaggError, Session,
    crypto::{self, Digest},
    graph,
    lanes::Grid,
    packing::Layout,
    plan::Plan,
    rotation::Rotation,
    wire::{Reader, Writer},
};

/// The longest update, in values: one stream of ChaCha20 is 2^36 lanes long, and this fits memory.
const MOST_VALUES: usize = 1 << 28;

/// The parameters that all clients of one attempt share. Its digest is part of every key, signature and commitment, so
/// that clients with different setups cannot take part in the same sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    session: Session,
    clients: Vec<ClientId>,
    degree: usize,
    threshold: usize,
    minimum: usize,
    grid: Grid,
    length: usize,
    seed: [u8; 32],
    digest: Digest,
}

impl Setup {
    pub(crate) fn new(
        session: Session,
        clients: Vec<ClientId>,
        Plan { degree, threshold }: Plan,
        minimum: usize,
        grid: Grid,
        length: usize,
        seed: [u8; 32],
    ) -> Result<Self> {
        let digest = [0; 32];
        let mut setup =
            Self { session, clients, degree, threshold, minimum, grid, length, seed, digest };
        setup.check()?;
        setup.digest = crypto::hash("setup", &[&setup.to_bytes()]);
        Ok(setup)
    }

    fn check(&self) -> Result<()> {
        let count = self.clients.len();
        let bad = |field, problem: String| Err(SecaggError::setting(field, problem));
        if self.session.run.len() > 255 {
            return bad(
                "run",
                format!("its name has {} bytes, and 255 are the most", self.session.run.len()),
            );
        }
        if !(2..=1 << 20).contains(&count) {
            return bad("clients", format!("{count} clients; 2 to {} work", 1 << 20));
        }
        if let Some(pair) = self.clients.windows(2).find(|pair| pair[0] >= pair[1]) {
            return bad("clients", format!("client {} is there twice, or out of order", pair[1]));
        }
        if self.degree != count - 1
            && (self.degree > count - 1 || self.degree < 2 || self.degree % 2 == 1)
        {
            return bad(
                "neighbours",
                format!(
                    "{}; {count} clients need {} or an even number below",
                    self.degree,
                    count - 1
                ),
            );
        }
        if !(2..=self.degree + 1).contains(&self.threshold) {
            return bad("threshold", format!("{}; 2 to {} work", self.threshold, self.degree + 1));
        }
        if !(2..=count).contains(&self.minimum) {
            return bad("minimum", format!("{}; 2 to {count} work", self.minimum));
        }
        let grid = &self.grid;
        if !(grid.range.is_finite() && grid.range > 0.0) {
            let field = if grid.is_rotated { "norm" } else { "range" };
            return bad(field, format!("{} is not positive and finite", grid.range));
        }
        if !(2..=Grid::most_bits(count)).contains(&grid.bits) {
            return bad(
                "bits",
                format!("{}; with {count} clients 2 to {} work", grid.bits, Grid::most_bits(count)),
            );
        }
        let most = u64::from(u32::MAX) / count as u64;
        if !(1..=most).contains(&grid.max_weight) {
            return bad(
                "max_weight",
                format!("{}; with {count} clients 1 to {most} work", grid.max_weight),
            );
        }
        if !(1..=MOST_VALUES).contains(&self.length) {
            return bad("length", format!("{} values; 1 to {MOST_VALUES} work", self.length));
        }
        Ok(())
    }

    /// The run, the round and the attempt.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// All clients that are asked, in ascending order.
    pub fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// Neighbours of each client.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// The number of a client's share holders (its neighbours and itself) that are needed to open a secret.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The minimum number of clients in a sum.
    pub fn minimum(&self) -> usize {
        self.minimum
    }

    /// The largest magnitude of a coordinate of an update; if updates [are rotated](Self::is_rotated), the largest L2
    /// norm of an update.
    pub fn range(&self) -> f32 {
        self.grid.range
    }

    /// Whether updates are rotated before they are rounded.
    pub fn is_rotated(&self) -> bool {
        self.grid.is_rotated
    }

    /// Bits of one client's value.
    pub fn bits(&self) -> u32 {
        self.grid.bits
    }

    /// Bits of a lane on the wire: those of the sum of all clients' values if lanes are packed, else 32.
    pub fn lane_bits(&self) -> u32 {
        self.layout().map_or(32, |layout| layout.bits())
    }

    /// Values of an update.
    pub fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The packing of lanes, unless they are sent as words of 32 bits.
    pub(crate) fn layout(&self) -> Option<Layout> {
        self.grid.layout(self.clients.len(), self.length)
    }

    /// The rotation of updates, if they are rotated.
    pub(crate) fn rotation(&self) -> Option<Rotation> {
        self.grid.is_rotated.then(|| Rotation::new(&self.session))
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(crate) fn position(&self, client: ClientId) -> Option<usize> {
        self.clients.binary_search(&client).ok()
    }

    /// Where a client's shares are evaluated: its position from one, since zero is where the secret is.
    pub(crate) fn point(&self, client: ClientId) -> u64 {
        self.position(client).expect("a client of the roster") as u64 + 1
    }

    /// A client's neighbours, in ascending order; none if it is not in the roster.
    pub fn neighbours(&self, client: ClientId) -> Vec<ClientId> {
        let Some(position) = self.position(client) else { return Vec::new() };
        let near = graph::one(&self.seed, self.clients.len(), self.degree, position);
        near.into_iter().map(|i| self.clients[i as usize]).collect()
    }

    /// The neighbours of each client, by position in the roster.
    pub(crate) fn graph(&self) -> Vec<Vec<u32>> {
        graph::all(&self.seed, self.clients.len(), self.degree)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.text(&self.session.run);
        for number in [self.session.round, self.session.attempt, self.clients.len() as u64] {
            writer.number(number);
        }
        // Differences, most of which take one byte.
        let mut last = 0;
        for client in &self.clients {
            writer.number(client.0 - last);
            last = client.0;
        }
        for number in [self.degree, self.threshold, self.minimum, self.length] {
            writer.number(number as u64);
        }
        writer.number(self.grid.max_weight);
        writer.raw(&self.grid.range.to_le_bytes());
        writer.u8(self.grid.bits as u8);
        let flags =
            [self.grid.rounding == Rounding::Stochastic, self.grid.is_packed, self.grid.is_rotated];
        writer.u8(flags.into_iter().rev().fold(0, |all, flag| 2 * all + u8::from(flag)));
        writer.raw(&self.seed);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let session =
            Session { run: reader.text()?, round: reader.number()?, attempt: reader.number()? };
        let mut last = 0_u64;
        let mut clients = Vec::new();
        for _ in 0..reader.count(1)? {
            last = last
                .checked_add(reader.number()?)
                .ok_or_else(|| reader.bad("a client's number is too large"))?;
            clients.push(ClientId(last));
        }
        let mut size = || -> Result<usize> {
            usize::try_from(reader.number()?).map_err(|_| reader.bad("a number is too large"))
        };
        let (degree, threshold, minimum, length) = (size()?, size()?, size()?, size()?);
        let max_weight = reader.number()?;
        let range = f32::from_le_bytes(reader.array()?);
        let bits = u32::from(reader.u8()?);
        let flags = match reader.u8()? {
            flags @ 0..8 => flags,
            other => return Err(reader.bad(format!("rounding {other} is unknown"))),
        };
        let rounding = if flags & 1 == 0 { Rounding::Nearest } else { Rounding::Stochastic };
        let (is_packed, is_rotated) = (flags & 2 != 0, flags & 4 != 0);
        let grid = Grid { range, is_rotated, is_packed, bits, rounding, max_weight };
        Self::new(
            session,
            clients,
            Plan { degree, threshold },
            minimum,
            grid,
            length,
            reader.array()?,
        )
    }

    /// The bytes that the digest covers.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.0
    }
}
