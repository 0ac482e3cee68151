//! Settings and metrics, as stored in objects.

/// Named settings.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigRecord {
    /// In the order of the sender.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<ConfigItem>,
}

/// A setting.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigItem {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<ConfigRecordValue>,
}

/// The value of a setting.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConfigRecordValue {
    /// `None` for a type that flora does not know.
    #[prost(oneof = "ConfigValue", tags = "1, 2, 3, 4, 5, 6, 21, 22, 23, 24, 25, 26")]
    pub value: Option<ConfigValue>,
}

/// The types of settings.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum ConfigValue {
    /// A number.
    #[prost(double, tag = "1")]
    Double(f64),
    /// An integer.
    #[prost(sint64, tag = "2")]
    Sint64(i64),
    /// An integer of 2^63 or more, in Flower's encoding.
    #[prost(uint64, tag = "3")]
    Uint64(u64),
    /// True or false.
    #[prost(bool, tag = "4")]
    Bool(bool),
    /// Text.
    #[prost(string, tag = "5")]
    Text(String),
    /// Bytes.
    #[prost(bytes = "vec", tag = "6")]
    Bytes(Vec<u8>),
    /// Numbers.
    #[prost(message, tag = "21")]
    DoubleList(DoubleList),
    /// Integers.
    #[prost(message, tag = "22")]
    SintList(SintList),
    /// Integers of which one is 2^63 or more.
    #[prost(message, tag = "23")]
    UintList(UintList),
    /// Booleans.
    #[prost(message, tag = "24")]
    BoolList(BoolList),
    /// Texts.
    #[prost(message, tag = "25")]
    StringList(StringList),
    /// Byte strings.
    #[prost(message, tag = "26")]
    BytesList(BytesList),
}

/// Named numbers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricRecord {
    /// In the order of the sender.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<MetricItem>,
}

/// A metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricItem {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<MetricRecordValue>,
}

/// The value of a metric.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricRecordValue {
    /// `None` for a type that flora does not know.
    #[prost(oneof = "MetricValue", tags = "1, 2, 3, 21, 22, 23")]
    pub value: Option<MetricValue>,
}

/// The types of metrics.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum MetricValue {
    /// A number.
    #[prost(double, tag = "1")]
    Double(f64),
    /// An integer.
    #[prost(sint64, tag = "2")]
    Sint64(i64),
    /// An integer of 2^63 or more, in Flower's encoding.
    #[prost(uint64, tag = "3")]
    Uint64(u64),
    /// Numbers.
    #[prost(message, tag = "21")]
    DoubleList(DoubleList),
    /// Integers.
    #[prost(message, tag = "22")]
    SintList(SintList),
    /// Integers of which one is 2^63 or more.
    #[prost(message, tag = "23")]
    UintList(UintList),
}

/// Numbers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DoubleList {
    /// The numbers.
    #[prost(double, repeated, tag = "1")]
    pub vals: Vec<f64>,
}

/// Integers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SintList {
    /// The numbers.
    #[prost(sint64, repeated, tag = "1")]
    pub vals: Vec<i64>,
}

/// Integers that are not negative.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UintList {
    /// The numbers.
    #[prost(uint64, repeated, tag = "1")]
    pub vals: Vec<u64>,
}

/// Booleans.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BoolList {
    /// The booleans.
    #[prost(bool, repeated, tag = "1")]
    pub vals: Vec<bool>,
}

/// Texts.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StringList {
    /// The texts.
    #[prost(string, repeated, tag = "1")]
    pub vals: Vec<String>,
}

/// Byte strings.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BytesList {
    /// The byte strings.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub vals: Vec<Vec<u8>>,
}

impl ConfigRecord {
    /// The value of a setting, if present and of a known type.
    pub fn get(&self, key: &str) -> Option<&ConfigValue> {
        let item = self.items.iter().find(|item| item.key == key)?;
        item.value.as_ref()?.value.as_ref()
    }

    /// Adds a setting.
    pub fn push(&mut self, key: impl Into<String>, value: ConfigValue) {
        let value = Some(ConfigRecordValue { value: Some(value) });
        self.items.push(ConfigItem { key: key.into(), value });
    }
}

impl MetricRecord {
    /// The value of a metric, if present and of a known type.
    pub fn get(&self, key: &str) -> Option<&MetricValue> {
        let item = self.items.iter().find(|item| item.key == key)?;
        item.value.as_ref()?.value.as_ref()
    }

    /// Adds a metric.
    pub fn push(&mut self, key: impl Into<String>, value: MetricValue) {
        let value = Some(MetricRecordValue { value: Some(value) });
        self.items.push(MetricItem { key: key.into(), value });
    }
}
