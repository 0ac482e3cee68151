//! Commands that look at what there is, and `classify`.

use flora_e2e::{assert_found, flora, scratch};

use crate::images_of_fxemoji;

#[test]
#[ignore = "end to end"]
fn presets() {
    assert_found("paper-fast", &flora!["presets"].ok().stdout);
}

#[test]
#[ignore = "end to end"]
fn datasets() {
    assert_found("emoji-vendors +39 +4 +3154 +473", &flora!["datasets"].ok().stdout);
}

#[test]
#[ignore = "end to end"]
fn datasets_check() {
    assert_found("3154", &flora!["datasets", "check", "emoji-vendors"].ok().stdout);
    // Where a data set that is not here can be had.
    let (code, output) = flora!["datasets", "check", "cifar-10"].ended();
    assert_ne!(code, Some(0), "CIFAR-10 does not ship");
    assert_found(r"cifar-10-binary\.tar\.gz", &(output.stdout + &output.stderr));
}

#[test]
#[ignore = "end to end"]
fn partition() {
    assert_found("openmoji +911 +137", &flora!["partition", "quickstart"].ok().stdout);
}

#[test]
#[ignore = "end to end"]
fn classify() {
    let images = &images_of_fxemoji()[..2];
    let call = flora!["classify", "--labels", "face,animal,vehicle", "--top", "1"];
    let shown = call.args(images).ok().stdout;
    for image in images {
        assert_found(&format!("{image} +(face|animal|vehicle) [0-9.]+ %"), &shown);
    }
}

#[test]
#[ignore = "end to end"]
fn classify_as_json_and_on_a_contact_sheet() {
    let sheet = scratch("classify").join("sheet.png");
    let call = flora!["classify", "--labels", "face,animal", "--json", "--sheet", &sheet];
    let shown = call.args(&images_of_fxemoji()[..7]).json();
    let classified = shown.as_array().unwrap();
    assert_eq!(classified.len(), 7);
    for image in classified {
        assert_eq!(image["predictions"].as_array().unwrap().len(), 2, "{image}");
    }
    assert!(std::fs::read(sheet).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"), "no PNG");
}
