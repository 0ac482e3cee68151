use prost::Message;

/// A message as a record of a
/// [TFRecord file](https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details): its length, the
/// checksum of the length, the message, and its checksum, all little-endian.
pub(super) fn record(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(checksum(&length).to_le_bytes());
    record.extend(&message);
    record.extend(checksum(&message).to_le_bytes());
    record
}

/// CRC-32C, masked as TensorFlow does it, so that the checksum of data that hold checksums stays a good one.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}
