//! The programs in `examples/`.

use flora_e2e::{Call, assert_found, captured};

const MODEL: &str = "models/clip-nano";
const IMAGES: &str = "datasets/emoji-vendors/images";

#[test]
#[ignore = "end to end"]
fn embed() {
    assert_found("^round 3: ", &Call::example("embed").ok().stdout);
}

#[test]
#[ignore = "end to end"]
fn own_model() {
    let shown = Call::example("own_model").ok().stdout;
    assert_found(r"^accuracy [0-9.]+ % before, 9[0-9.]+ % after 200 rounds$", &shown);
}

#[test]
#[ignore = "end to end"]
fn lora_on_your_module() {
    let shown = Call::example("lora_on_your_module").ok().stdout;
    assert_found(r"^step 200: loss 0\.0", &shown);
}

#[test]
#[ignore = "end to end"]
fn zero_shot() {
    let image = format!("{IMAGES}/fxemoji/test/face-smiling/1F642.png");
    let shown = Call::example("zero_shot").args([MODEL, &image, "face", "car"]).ok().stdout;
    assert_found("^face: [0-9.]+ %$", &shown);
}

#[test]
#[ignore = "end to end"]
fn image_search_answers_within_a_tenth_of_a_second() {
    let call = Call::example("image_search").args([MODEL, IMAGES, "a red heart"]).alone();
    let shown = call.ok().stdout;
    let images = captured("^([0-9]+) images embedded in ", &shown);
    let ms = captured(r#"^"a red heart", ([0-9]+\.[0-9]) ms:$"#, &shown);
    println!("image_search: a query among {images} images in {ms} ms");
    assert!(images >= 1000.0 && ms < 100.0, "{shown}");
}

#[test]
#[ignore = "end to end"]
fn leak_tells_classes_from_plain_updates_and_not_from_masked_ones() {
    let shown = Call::example("leak").ok().stdout;
    assert_found("^updates as they are +8[0-9]", &shown);
    let classes = captured("^under masks, ten clients *([0-9.]*) %", &shown);
    println!("leak: {classes} % of the classes are told under masks");
    assert!(classes < 55.0, "{shown}");
}
