//! Codecs in experiment files.

use flora_core::kinds::{Kinds, word_or_table};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Codec, Values};

/// A codec's table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    density: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Values>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    F32,
    F16,
    Bf16,
    Int8,
    Int4,
    Eden,
    TopK,
    Ternary,
}

impl From<Kind> for Codec {
    /// The codec with default settings.
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::F32 => Self::F32,
            Kind::F16 => Self::F16,
            Kind::Bf16 => Self::Bf16,
            Kind::Int8 => Self::Int8,
            Kind::Int4 => Self::Int4,
            Kind::Eden => Self::Eden { bits: 2 },
            Kind::TopK => Self::TopK { density: 0.1, values: Values::default() },
            Kind::Ternary => Self::Ternary { density: 0.05 },
        }
    }
}

impl From<Codec> for Table {
    fn from(codec: Codec) -> Self {
        let table = |kind| Self { kind, bits: None, density: None, values: None };
        match codec {
            Codec::F32 => table(Kind::F32),
            Codec::F16 => table(Kind::F16),
            Codec::Bf16 => table(Kind::Bf16),
            Codec::Int8 => table(Kind::Int8),
            Codec::Int4 => table(Kind::Int4),
            Codec::Eden { bits } => Self { bits: Some(bits), ..table(Kind::Eden) },
            Codec::TopK { density, values } => {
                Self { density: Some(density), values: Some(values), ..table(Kind::TopK) }
            }
            Codec::Ternary { density } => Self { density: Some(density), ..table(Kind::Ternary) },
        }
    }
}

impl Serialize for Codec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let table = Table::from(*self);
        match *self == Self::from(table.kind) {
            true => serializer.serialize_str(self.name()),
            false => table.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Codec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word_or_table(deserializer)
    }
}

impl<'de> Kinds<'de> for Codec {
    const EXPECTED: &'static str = "the name of a codec, or a table with a `kind`";

    fn from_table<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        let Table { kind, bits, density, values } = Table::deserialize(table)?;
        let mut codec = Self::from(kind);
        let name = codec.name();
        let unused =
            |setting| Err(D::Error::custom(format!("{setting} is not a setting of {name}")));
        if let Some(given) = bits {
            let Self::Eden { bits } = &mut codec else { return unused("bits") };
            *bits = given;
        }
        if let Some(given) = density {
            let (Self::TopK { density, .. } | Self::Ternary { density }) = &mut codec else {
                return unused("density");
            };
            *density = given;
        }
        if let Some(given) = values {
            let Self::TopK { values, .. } = &mut codec else { return unused("values") };
            *values = given;
        }
        Ok(codec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Codec, String> {
        #[derive(Deserialize)]
        struct Holder {
            codec: Codec,
        }
        let holder = toml::from_str::<Holder>(&format!("codec = {text}"));
        holder.map(|it| it.codec).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn words_and_tables_come_back() {
        let words = ["f32", "f16", "bf16", "int8", "int4", "eden", "top-k", "ternary"];
        for word in words {
            let codec = read(&format!("\"{word}\"")).unwrap();
            assert_eq!((codec.name(), codec.check()), (word, Ok(())));
            assert_eq!(serde_json::to_string(&codec).unwrap(), format!("\"{word}\""));
            assert_eq!(read(&format!("{{ kind = \"{word}\" }}")).unwrap(), codec);
        }
        for (codec, text) in [
            (Codec::Eden { bits: 1 }, r#"{"kind":"eden","bits":1}"#),
            (Codec::Ternary { density: 0.1 }, r#"{"kind":"ternary","density":0.1}"#),
            (
                Codec::TopK { density: 0.1, values: Values::F16 },
                r#"{"kind":"top-k","density":0.1,"values":"f16"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&codec).unwrap(), text);
            assert_eq!(serde_json::from_str::<Codec>(text).unwrap(), codec);
        }
        let codec = read(r#"{ kind = "top-k", values = "int4" }"#).unwrap();
        assert_eq!(codec, Codec::TopK { density: 0.1, values: Values::Int4 });
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            (r#""int9""#, "`int9`"),
            (r#"{ kind = "eden", bit = 2 }"#, "`bit`"),
            (r#"{ kind = "int8", bits = 2 }"#, "bits is not a setting of int8"),
            (r#"{ kind = "eden", density = 0.1 }"#, "density is not a setting of eden"),
            (r#"{ kind = "ternary", values = "f16" }"#, "values is not a setting of ternary"),
            (r#"{ bits = 2 }"#, "`kind`"),
            ("3", "the name of a codec"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let eden = |bits| Codec::Eden { bits }.check();
        assert!(eden(0).unwrap_err().starts_with("bits: 0 ") && eden(5).is_err());
        for density in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            let top = Codec::TopK { density, values: Values::default() };
            assert!(top.check().unwrap_err().starts_with("density: "));
            assert!(Codec::Ternary { density }.check().is_err());
        }
    }
}
