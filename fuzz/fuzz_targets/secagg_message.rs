//! Arbitrary bytes are refused as a message of secure aggregation, or have exactly one meaning.
#![no_main]

use flora_secagg::{Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(request) = Request::from_bytes(input) {
        assert_eq!(request.to_bytes(), input);
    }
    if let Ok(response) = Response::from_bytes(input) {
        assert_eq!(response.to_bytes(), input);
    }
});
