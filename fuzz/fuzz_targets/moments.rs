//! Whatever the bytes of a file of sums, they are sums that classifiers are solved from, or are refused.
#![no_main]

use flora_core::ParameterRecord;
use flora_heads::{Gda, Lda, Moments, Ncm, Ridge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(record) = ParameterRecord::from_safetensors(bytes) else { return };
    // What a client sends goes the same way.
    let _ = Moments::from_mean_record(&record, 3.0);
    let Ok(moments) = Moments::from_record(&record) else { return };

    // All that there is was in the file, half precision included.
    let (dim, classes, counts) = (moments.dim(), moments.classes(), moments.class_counts());
    let numbers = moments.gram().len() + moments.class_sums().len() + counts.len();
    assert!(numbers <= bytes.len() / 2);
    // Less than a hundredth of an image is none.
    assert!(counts.iter().all(|&count| count == 0.0 || count >= 0.01));
    let written = moments.to_record().expect("f32 has all of it");
    assert_eq!(Moments::from_record(&written).expect("it was written here"), moments);

    let texts = vec![0.0; classes * dim];
    let heads = [
        Ridge::default().solve(&moments, &texts),
        Gda::default().solve(&moments, &texts),
        Lda::default().solve(&moments),
        Ncm::default().solve(&moments, &texts),
    ];
    for head in heads.into_iter().flatten() {
        assert_eq!((head.weight.len(), head.bias.len()), (classes * dim, classes));
    }
});
