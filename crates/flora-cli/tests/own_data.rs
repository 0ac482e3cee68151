//! Users' own data: skipped files are reported, and unreadable ones are named.

mod support;

use std::path::Path;

use support::*;

/// Two classes of three images each, with a file that is not an image.
fn write(folder: &Path) {
    for (class, color) in [("ball", [200, 30, 30]), ("cup", [30, 200, 30])] {
        let path = folder.join(class).join("more");
        std::fs::create_dir_all(&path).unwrap();
        for number in 0..3 {
            let image = image::RgbImage::from_pixel(32, 32, image::Rgb(color));
            // By its contents it is a PNG.
            let path = path.with_file_name(format!("{number}.ppm"));
            image.save_with_format(path, image::ImageFormat::Png).unwrap();
        }
        std::fs::rename(path.with_file_name("2.ppm"), path.join("2.ppm")).unwrap();
    }
    std::fs::write(folder.join("cup/photo.heic"), "").unwrap();
}

#[test]
fn what_is_passed_over_is_said_and_what_is_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, data) = (folder.path().join("cache"), folder.path().join("things"));
    write(&data);
    let check = |more: &[&str]| {
        let mut command = flora(&cache);
        command.args(["datasets", "check"]).arg(&data).args(more);
        command
    };
    let said = text(&done(check(&[])).stdout);
    assert!(said.contains("2 classes, 4 training and 2 test images"), "{said}");
    assert!(said.contains("passed over: 1 .heic"), "{said}");
    assert!(said.contains("--decode"), "{said}");
    let said = text(&done(check(&["--decode"])).stdout);
    assert!(said.contains("all 6 can be decoded"), "{said}");

    let eval = || {
        let mut command = flora(&cache);
        command.args(["eval", "--json", "--data"]).arg(&data);
        command
    };
    let output = done(eval());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["num_images"], 6);
    let warning = text(&output.stderr);
    assert!(warning.contains("warning: things: 1 file passed over: 1 .heic; convert"), "{warning}");

    std::fs::write(data.join("ball/0.ppm"), "").unwrap();
    std::fs::write(data.join("cup/more/2.ppm"), "P6 9 9 255\n").unwrap();
    let output = check(&["--decode"]).output().unwrap();
    let (said, error) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains("ball/0.ppm") && said.contains("cup/more/2.ppm"), "{said}");
    assert!(error.contains("2 of 6 images cannot be read"), "{error}");
    assert_eq!(output.status.code(), Some(2));
    let error = refused(eval(), 2);
    assert!(error.contains("ball/0.ppm: it is empty"), "{error}");
    assert!(error.contains("cup/more/2.ppm") && error.contains("2 of 6 images"), "{error}");
}

#[test]
fn classes_that_are_the_same_to_the_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, data) = (folder.path().join("cache"), folder.path().join("things"));
    write(&data);
    std::fs::rename(data.join("cup"), data.join("Ball")).unwrap();
    let mut command = flora(&cache);
    command.args(["eval", "--data"]).arg(&data);
    let error = refused(command, 2);
    assert!(error.contains("\"Ball\" and \"ball\""), "{error}");
    let mut command = flora(&cache);
    command.arg("classify").arg(data.join("ball/0.ppm")).args(["--labels", "Cat,dog,cat"]);
    let error = refused(command, 2);
    assert!(error.contains("a photo of a Cat.") && error.contains("a photo of a cat."), "{error}");
    // A run whose template is so long that the class name is cut off.
    std::fs::rename(data.join("Ball"), data.join("cup")).unwrap();
    let mut command = flora(&cache);
    command.args(["run", "quickstart", "--out"]).arg(folder.path().join("run"));
    command.arg("--set").arg(format!("data={{path='{}'}}", data.display()));
    let template = format!("data.template='{} {{}}'", "very ".repeat(90));
    command.args(["--set", "partition={kind='iid',clients=2}", "--set", &template]);
    let error = refused(command, 2);
    assert!(error.contains("are the same to the model"), "{error}");
}
