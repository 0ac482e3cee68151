//! The byte form of [`Request`] and [`Response`].

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    Answer, Ask, Bundle, ClientId, Opening, PublicKeys, Request, Response, Result, Setup, Shares,
    Survivors, Tag,
    message::SEALED,
    wire::{Reader, VERSION, Writer},
};

/// Bytes of a bundle and of public keys, without the client's number.
const BUNDLE: usize = 12 + SEALED + 64;
const KEYS: usize = 3 * 32 + 64;

/// The kind of a response with packed lanes. The kinds of other responses are their stages.
const PACKED: u8 = 5;

/// A type with a byte form.
pub(crate) trait Wire: Sized {
    /// The minimum number of bytes.
    const LEAST: usize;
    fn write(&self, writer: &mut Writer);
    fn read(reader: &mut Reader<'_>) -> Result<Self>;
}

impl Wire for ClientId {
    const LEAST: usize = 1;

    fn write(&self, writer: &mut Writer) {
        writer.number(self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.number().map(Self)
    }
}

impl<const N: usize> Wire for [u8; N] {
    const LEAST: usize = N;

    fn write(&self, writer: &mut Writer) {
        writer.raw(self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.array()
    }
}

impl<T: Wire + Zeroize> Wire for Zeroizing<T> {
    const LEAST: usize = T::LEAST;

    fn write(&self, writer: &mut Writer) {
        T::write(self, writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        T::read(reader).map(Self::new)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    const LEAST: usize = A::LEAST + B::LEAST;

    fn write(&self, writer: &mut Writer) {
        self.0.write(writer);
        self.1.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok((A::read(reader)?, B::read(reader)?))
    }
}

impl<T: Wire> Wire for Vec<T> {
    const LEAST: usize = 1;

    fn write(&self, writer: &mut Writer) {
        writer.number(self.len() as u64);
        self.iter().for_each(|each| each.write(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        (0..reader.count(T::LEAST)?).map(|_| T::read(reader)).collect()
    }
}

impl Wire for Survivors {
    const LEAST: usize = 1;

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.bytes().map(|bytes| Self(bytes.to_vec()))
    }
}

/// A struct as its fields, one after the other.
macro_rules! fields {
    ($type:ident, $least:expr, $($field:ident),+) => {
        impl Wire for $type {
            const LEAST: usize = $least;

            fn write(&self, writer: &mut Writer) {
                $(self.$field.write(writer);)+
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                Ok(Self { $($field: Wire::read(reader)?),+ })
            }
        }
    };
}

fields!(PublicKeys, 1 + KEYS, client, identity, mask, sealing, signature);
fields!(Bundle, 1 + BUNDLE, peer, nonce, sealed, seed, key);
fields!(Shares, 65, seed, own, bundles);
fields!(Opening, 49, dealer, share, blind);

/// The head of every message: version, kind, attempt and client.
fn head(kind: u8, tag: &Tag, client: ClientId) -> Writer {
    let mut writer = Writer(vec![VERSION, kind]);
    tag.write(&mut writer);
    client.write(&mut writer);
    writer
}

impl Request {
    /// The byte form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = head(self.body.stage() as u8, &self.tag, self.to);
        match &self.body {
            Ask::Setup(setup) => setup.write(&mut writer),
            Ask::Keys(keys) => keys.write(&mut writer),
            Ask::Bundles(bundles) => bundles.write(&mut writer),
            Ask::Survivors(survivors) => survivors.write(&mut writer),
            Ask::Signatures(signatures) => signatures.write(&mut writer),
        }
        writer.0
    }

    /// Reads the byte form.
    ///
    /// # Errors
    ///
    /// [`SecaggError::Bytes`](crate::SecaggError::Bytes) for bytes that are not a request, and
    /// [`SecaggError::Setting`](crate::SecaggError::Setting) for an invalid setup.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("request", bytes);
        reader.version()?;
        let kind = reader.u8()?;
        let (tag, to) = (Tag::read(&mut reader)?, ClientId::read(&mut reader)?);
        let body = match kind {
            0 => Ask::Setup(Setup::read(&mut reader)?),
            1 => Ask::Keys(Wire::read(&mut reader)?),
            2 => Ask::Bundles(Wire::read(&mut reader)?),
            3 => Ask::Survivors(Wire::read(&mut reader)?),
            4 => Ask::Signatures(Wire::read(&mut reader)?),
            other => return Err(reader.bad(format!("kind {other} is unknown"))),
        };
        reader.end()?;
        Ok(Self { tag, to, body })
    }
}

impl Response {
    /// The byte form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = match &self.body {
            Answer::Packed { .. } => PACKED,
            body => body.stage() as u8,
        };
        let mut writer = head(kind, &self.tag, self.from);
        match &self.body {
            Answer::Keys(keys) => keys.write(&mut writer),
            Answer::Shares(shares) => shares.write(&mut writer),
            Answer::Masked { task, lanes } => {
                task.write(&mut writer);
                writer.words(lanes);
            }
            Answer::Packed { task, lanes } => {
                task.write(&mut writer);
                writer.bytes(lanes);
            }
            Answer::Signed(signature) => signature.write(&mut writer),
            Answer::Opened(openings) => openings.write(&mut writer),
        }
        writer.0
    }

    /// Reads the byte form.
    ///
    /// # Errors
    ///
    /// [`SecaggError::Bytes`](crate::SecaggError::Bytes) for bytes that are not a response.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("response", bytes);
        reader.version()?;
        let kind = reader.u8()?;
        let (tag, from) = (Tag::read(&mut reader)?, ClientId::read(&mut reader)?);
        let body = match kind {
            0 => Answer::Keys(Wire::read(&mut reader)?),
            1 => Answer::Shares(Wire::read(&mut reader)?),
            2 => Answer::Masked { task: reader.array()?, lanes: reader.words()? },
            3 => Answer::Signed(Wire::read(&mut reader)?),
            4 => Answer::Opened(Wire::read(&mut reader)?),
            PACKED => Answer::Packed { task: reader.array()?, lanes: reader.bytes()?.to_vec() },
            other => return Err(reader.bad(format!("kind {other} is unknown"))),
        };
        reader.end()?;
        Ok(Self { tag, from, body })
    }
}

/// Takes bytes from formats that have them, and a list of numbers from those that do not.
struct Bytes;

impl<'de> de::Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, E> {
        Ok(bytes)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(
        self,
        mut list: A,
    ) -> std::result::Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = list.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

/// Serde's form of a message is its bytes.
macro_rules! as_bytes {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(
                &self,
                serializer: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.to_bytes())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(
                deserializer: D,
            ) -> std::result::Result<Self, D::Error> {
                Self::from_bytes(&deserializer.deserialize_byte_buf(Bytes)?)
                    .map_err(de::Error::custom)
            }
        }
    };
}

as_bytes!(Request);
as_bytes!(Response);
