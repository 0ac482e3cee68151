//! Each layout is recognised, described, and read as intended.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{DiscoverOptions, Discovery, discover};
use crate::{Dataset, Split};

/// Creates images, each with a different grey, and text files below a folder called `photos`.
fn folder(images: &[&str], texts: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("photos");
    fs::create_dir_all(&root).unwrap();
    for (grey, image) in images.iter().enumerate() {
        let path = root.join(image);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let grey = image::Luma([grey as u8]);
        image::GrayImage::from_pixel(3, 2, grey).save(path).unwrap();
    }
    for (name, text) in texts {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    (dir, root)
}

/// `1.png` and `2.png` in each of these folders.
fn twice(folders: &[&str]) -> Vec<String> {
    folders.iter().flat_map(|it| [format!("{it}/1.png"), format!("{it}/2.png")]).collect()
}

fn found(root: &Path) -> Discovery {
    discover(root, &DiscoverOptions::default()).unwrap()
}

fn unclear(root: &Path, options: &DiscoverOptions) -> String {
    discover(root, options).unwrap_err().to_string()
}

/// Reads the description, and compares it with the discovered contents.
#[track_caller]
fn opened(found: &Discovery) -> Dataset {
    let text = found.description().unwrap();
    // Not beside the images.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("some.toml");
    fs::write(&file, &text).unwrap();
    let set = Dataset::open(&file, None).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let names: Vec<&str> = found.classes.iter().map(|class| class.name.as_str()).collect();
    assert_eq!(set.classes(), names, "{text}");
    let sites: Vec<&str> = found.sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(set.domains(), sites, "{text}");
    let counts = found.images();
    assert_eq!(
        (set.len(), set.has_official_split()),
        (counts.total(), found.has_split()),
        "{text}"
    );
    if found.has_split() {
        assert_eq!(set.indices(Split::Train).len(), counts.train, "{text}");
        assert_eq!(set.indices(Split::Test).len(), counts.test, "{text}");
    }
    for (label, class) in found.classes.iter().enumerate() {
        let count = (0..set.len()).filter(|&i| set.label(i) == label).count();
        assert_eq!(count, class.images.total(), "{}\n{text}", class.name);
    }
    for (number, site) in found.sites.iter().enumerate() {
        let count = (0..set.len()).filter(|&i| set.domain(i) == Some(number)).count();
        assert_eq!(count, site.images.total(), "{}\n{text}", site.name);
    }
    set
}

#[track_caller]
fn assert_pattern(folders: &[&str], pattern: &str, classes: &[&str], sites: &[&str]) -> Discovery {
    let images = twice(folders);
    let (_dir, root) = folder(&images.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    let found = found(&root);
    assert_eq!(found.pattern().unwrap(), pattern, "{found}");
    assert_eq!(found.classes.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), classes);
    assert_eq!(found.sites.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), sites);
    opened(&found);
    found
}

#[test]
fn class_folders() {
    let found = assert_pattern(&["tabby_cat", "dog"], "{class}", &["dog", "tabby_cat"], &[]);
    assert_eq!(found.classes[1].name, "tabby cat");
    assert!(!found.has_split() && !found.has_clients());
    assert_eq!(found.sizes, Some([(3, 2); 2]));
    // Folders common to all images, above and below the classes.
    assert_pattern(&["images/cat", "images/dog"], "images/{class}", &["cat", "dog"], &[]);
    assert_pattern(&["cat/jpg", "dog/jpg"], "{class}/jpg", &["cat", "dog"], &[]);
    // `train` is a vehicle here, and also a word for a split.
    assert_pattern(&["car", "test", "train"], "{class}", &["car", "test", "train"], &[]);
}

#[test]
fn sites_and_classes() {
    let all = ["hospital-a/covid", "hospital-a/normal", "hospital-b/covid", "hospital-b/normal"];
    let sites = ["hospital-a", "hospital-b"];
    let found = assert_pattern(&all, "{domain}/{class}", &["covid", "normal"], &sites);
    assert!(found.has_clients());
    let said = found.to_string();
    assert!(said.contains("hospital-a and hospital-b are read as sites"), "{said}");
    assert!(said.contains("--pattern \"{class}/{domain}\""), "{said}");

    let all = ["covid/hospital-a", "normal/hospital-a", "covid/hospital-b", "normal/hospital-b"];
    assert_pattern(&all, "{class}/{domain}", &["covid", "normal"], &sites);
    // The names do not help: names that repeat below several folders are classes.
    let all = ["berlin/cat", "berlin/dog", "paris/cat", "paris/dog", "rome/cat"];
    assert_pattern(&all, "{domain}/{class}", &["cat", "dog"], &["berlin", "paris", "rome"]);
    let all = ["art_painting/dog", "art_painting/horse", "photo/dog", "photo/horse"];
    assert_pattern(&all, "{domain}/{class}", &["dog", "horse"], &["art_painting", "photo"]);
    // A single class, at two sites.
    let found = assert_pattern(
        &["site1/cat", "site2/cat"],
        "{domain}/{class}",
        &["cat"],
        &["site1", "site2"],
    );
    assert!(found.to_string().contains("only one class"), "{found}");
}

#[test]
fn the_other_way_round_can_be_asked_for() {
    let images = twice(&["hospital-a/covid", "hospital-a/normal", "hospital-b/covid"]);
    let (_dir, root) = folder(&images.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
    let with =
        |pattern: &str| DiscoverOptions { pattern: Some(pattern.into()), ..Default::default() };
    let found = discover(&root, &with("{class}/{domain}")).unwrap();
    assert_eq!(found.classes[0].key, "hospital-a");
    assert_eq!(opened(&found).domains(), ["covid", "normal"]);
    for (pattern, words) in [
        ("{class}/x/y", &["no image fits", "hospital-a/covid"][..]),
        ("{klass}/{domain}", &["{klass}"]),
        ("{split}/{class}", &["hospital-a and hospital-b", "train and test"]),
    ] {
        let said = unclear(&root, &with(pattern));
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn splits() {
    let all = ["train/cat", "train/dog", "test/cat", "test/dog"];
    let found = assert_pattern(&all, "{split}/{class}", &["cat", "dog"], &[]);
    assert_eq!((found.images().train, found.images().test), (4, 4));
    assert_pattern(&["Training/cat", "Validation/cat"], "{split}/{class}", &["cat"], &[]);
    let sites = ["site-1", "site-2"];
    let all = ["train/site-1/cat", "train/site-2/dog", "test/site-1/cat", "test/site-2/dog"];
    assert_pattern(&all, "{split}/{domain}/{class}", &["cat", "dog"], &sites);
    let all = ["site-1/train/cat", "site-1/test/cat", "site-2/train/dog", "site-2/test/dog"];
    assert_pattern(&all, "{domain}/{split}/{class}", &["cat", "dog"], &sites);
    let all = ["cat/train", "cat/test", "dog/train", "dog/test"];
    assert_pattern(&all, "{class}/{split}", &["cat", "dog"], &[]);
    // A validation set beside a test set, and images without labels.
    let all =
        ["train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog", "unlabelled/x"];
    let found = assert_pattern(&all, "{split}/{class}", &["cat", "dog"], &[]);
    assert_eq!(found.images().total(), 8);
    assert!(found.to_string().contains("val (4 images) is left out"), "{found}");
}

#[test]
fn sub_folders_of_class_folders() {
    let found =
        assert_pattern(&["cat", "cat/more", "dog", "dog/x/y"], "{class}", &["cat", "dog"], &[]);
    assert_eq!(found.images().total(), 8);
    // Numbers below words, and parts of classes below sites.
    assert_pattern(&["cat/0017", "cat/0018", "dog/0019"], "{class}", &["cat", "dog"], &[]);
    let all = ["site1/cat/a", "site1/cat/b", "site1/dog/c", "site2/cat/d", "site2/dog/e"];
    assert_pattern(&all, "{domain}/{class}", &["cat", "dog"], &["site1", "site2"]);
}

#[test]
fn odd_names_and_stray_files() {
    let all =
        ["it's \"ours\"/caf\u{e9} {x}", "it's \"ours\"/b c", "theirs/b c", "theirs/x\ny\u{1b}[31m"];
    let images = twice(&all);
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    let (_dir, root) = folder(&images, &[("theirs/empty/notes.txt", ""), ("scan.heic", "")]);
    let found = found(&root);
    assert_eq!(found.pattern().unwrap(), "{domain}/{class}");
    opened(&found);
    let said = found.to_string();
    for words in ["passed over: empty", "1 .heic", "1 .txt", "convert them to PNG"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // Braces above the classes.
    let (_dir, root) = folder(&["a{b}/cat/1.png", "a{b}/dog/1.png", "loose.png"], &[]);
    let found = discover(&root, &DiscoverOptions::default()).unwrap();
    opened(&found);
    assert!(found.to_string().contains("the folder itself (1)"), "{found}");
}

#[test]
fn classes_that_read_alike_are_told() {
    let (_dir, root) = folder(&["hot_dog/1.png", "hot-dog/1.png", "Cat/1.png", "cat/1.png"], &[]);
    let found = found(&root);
    let said = found.to_string();
    assert!(said.contains("Cat and cat read alike"), "{said}");
    assert!(said.contains("hot-dog and hot_dog read alike"), "{said}");
    assert!(said.contains("4 classes have fewer than 5 images"), "{said}");
    let (_dir, root) = folder(&["0/1.png", "2/1.png", "10/1.png"], &[]);
    let found = super::discover(&root, &DiscoverOptions::default()).unwrap();
    assert_eq!(found.classes[1].key, "2", "in the order of the numbers");
    assert!(found.to_string().contains("write words"), "{found}");
}

const FOUR: [&str; 4] = ["img/a.png", "img/b.png", "img/c.png", "img/d.png"];

#[track_caller]
fn table(name: &str, text: &str) -> Discovery {
    let (_dir, root) = folder(&FOUR, &[(name, text)]);
    let found = found(&root);
    opened(&found);
    found
}

#[test]
fn tables_with_any_columns() {
    let found = table(
        "meta.csv",
        "nr,Photo,Clinic,what is it,Subset\n\
         1,a.png,north,hot dog,training\n2,b.png,north,cat,test\n3,c.png,south,cat,training\n4,d.png,south,hot dog,test\n",
    );
    assert_eq!(found.classes[1].key, "hot dog");
    assert_eq!(found.sites.len(), 2);
    assert_eq!((found.images().train, found.images().test), (2, 2));
    let said = found.to_string();
    assert!(
        said.contains("meta.csv (images img/{Photo}, labels {what is it}, sites {Clinic}"),
        "{said}"
    );

    let found = table("l.csv", "id;label;label_name\na;0;cat\nb;1;dog\nc;0;cat\nd;1;dog\n");
    assert_eq!(found.classes[0].name, "cat", "words rather than numbers");
    assert!(found.to_string().contains("--label"), "{found}");
    let found = table(
        "l.tsv",
        "\u{feff}path\tlabel\nimg/a.png\tx\nimg/b.png\ty\nimg/c.png\tx\nimg/d.png\ty\n",
    );
    assert_eq!(found.images().total(), 4);
    let found = table(
        "sub/l.jsonl",
        "{\"image\": \"img/a.png\", \"label\": 1}\n\n{\"image\": \"img/b.png\", \"label\": 0, \"site\": \"x\"}\n\
         {\"image\": \"img/c.png\", \"label\": 1, \"note\": [1]}\n{\"image\": \"img/d.png\", \"label\": 0}\n",
    );
    assert_eq!(found.classes[0].key, "0");
}

#[test]
fn a_column_can_be_named() {
    let text = "file,breed,hospital,colour\na.png,x,h1,red\nb.png,y,h2,red\nc.png,x,h1,blue\nd.png,y,h2,blue\n";
    let (_dir, root) = folder(&FOUR, &[("pets.csv", text)]);
    let with = |label: &str, site: Option<&str>| DiscoverOptions {
        label: Some(label.into()),
        site: site.map(Into::into),
        ..Default::default()
    };
    let found = discover(&root, &with("colour", Some("breed"))).unwrap();
    assert_eq!((found.classes[0].key.as_str(), found.sites[0].name.as_str()), ("blue", "x"));
    opened(&found);
    // The table itself may be given.
    let found = discover(&root.join("pets.csv"), &with("colour", None)).unwrap();
    assert_eq!((found.classes.len(), found.name.as_str()), (2, "photos"));
    let said = unclear(&root.join("pets.csv"), &with("color", None));
    assert!(said.contains("no column \"color\"") && said.contains("breed"), "{said}");
}

#[test]
fn whole_paths_in_a_table() {
    let (_dir, root) = folder(&FOUR, &[]);
    let rows =
        ["a", "b", "c", "d"].map(|it| format!("{}/img/{it}.png,{}\n", root.display(), it < "c"));
    fs::write(root.join("l.csv"), format!("path,label\n{}", rows.concat())).unwrap();
    opened(&found(&root));
}

#[test]
fn wrong_rows_are_counted_with_the_line_of_the_first() {
    let text = "file,label\na.png,x\nb.png,y\nz.png,x\nc.png,\na.png,y\nd.png,x\n";
    for text in [text, &text.replace('\n', "\r\n")] {
        let (_dir, root) = folder(&FOUR, &[("l.csv", text)]);
        let said = found(&root).to_string();
        let first = "1 row name images that are not there, the first in line 4";
        for words in [first, "line 5", "line 6"] {
            assert!(said.contains(words), "{words}: {text:?}: {said}");
        }
    }
}

#[test]
fn a_byte_order_mark_is_one_at_the_beginning_of_a_file() {
    let lines = ["a", "b", "c", "d"]
        .map(|it| format!("{{\"image\": \"img/{it}.png\", \"label\": \"{}\"}}\n", it < "c"));
    let (_dir, root) = folder(&FOUR, &[("l.jsonl", &format!("\u{feff}{}", lines.concat()))]);
    assert_eq!(opened(&found(&root)).len(), 4);
    let (_dir, root) = folder(&FOUR, &[("l.jsonl", &lines.join("\u{feff}"))]);
    let said = unclear(&root, &DiscoverOptions::default());
    assert!(said.contains("l.jsonl cannot be read as a table: line 2"), "{said}");
}

#[test]
fn hugging_faces_metadata() {
    let part = |names: [&str; 2]| format!("file_name,label\n{},cat\n{},dog\n", names[0], names[1]);
    let (_dir, root) = folder(
        &["train/a.png", "train/b.png", "test/a.png", "test/c.png"],
        &[
            ("train/metadata.csv", &part(["a.png", "b.png"])),
            ("test/metadata.csv", &part(["a.png", "c.png"])),
        ],
    );
    let both = found(&root);
    assert_eq!((both.images().train, both.images().test), (2, 2));
    opened(&both);
    let (_dir, root) = folder(
        &FOUR,
        &[
            ("train.csv", &part(["img/a.png", "img/b.png"])),
            ("test.csv", &part(["img/c.png", "img/d.png"])),
        ],
    );
    assert_eq!(opened(&found(&root)).indices(Split::Test).len(), 2);
    let texts = "{\"file_name\": \"a.png\", \"text\": \"a cat on a mat\"}\n{\"file_name\": \"b.png\", \"text\": \"a dog\"}\n\
                 {\"file_name\": \"c.png\", \"text\": \"a bird\"}\n{\"file_name\": \"d.png\", \"text\": \"a fish\"}\n";
    let (_dir, root) = folder(&FOUR, &[("img/metadata.jsonl", texts)]);
    let said = unclear(&root, &DiscoverOptions::default());
    assert!(said.contains("texts (\"text\") and no labels"), "{said}");
}

#[test]
fn what_nothing_is_said_of_is_refused() {
    for (images, texts, words) in [
        (&[][..], &[("notes.txt", "")][..], &["no image", "png"][..]),
        (&["1.png", "2.png"], &[], &["2 images lie in no folder", "a CSV file"]),
        (&["train/1.png", "test/2.png"], &[], &["do not say what they show"]),
        (&["images/1.png"], &[], &["do not say what they show"]),
        (&[], &[("train-images-idx3-ubyte.gz", "")], &["kind = \"idx\"", "docs/datasets.md"]),
        (&[], &[("images.zip", "")], &["unpack"]),
        (
            &["a/x/1/p.png", "a/y/1/p.png", "b/x/1/p.png", "b/y/2/p.png", "a/x/2/p.png"],
            &[],
            &["3 levels down", "a/x/1", "3 levels have different folders"],
        ),
    ] {
        let (_dir, root) = folder(images, texts);
        let said = unclear(&root, &DiscoverOptions::default());
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let (_dir, root) = folder(&[], &[]);
    assert!(unclear(&root.join("no"), &DiscoverOptions::default()).contains("cannot read"));
}

#[test]
fn a_description_in_the_folder_is_used() {
    let text = "name = 'pets'\nclasses = [{ name = 'zebra', folder = 'a' }, { name = 'bear', folder = 'b' }]\n\
                layout = { kind = 'image-folder', pattern = '{class}' }";
    let (_dir, root) = folder(&["a/1.png", "b/1.png", "b/2.png"], &[("dataset.toml", text)]);
    let found = found(&root);
    assert_eq!(
        found.described(),
        Some(root.canonicalize().unwrap().join("dataset.toml").as_path())
    );
    assert_eq!((found.name.as_str(), found.description()), ("pets", None));
    assert_eq!((found.classes[0].name.as_str(), found.classes[1].images.total()), ("zebra", 2));
}

#[test]
fn an_unreadable_image_is_named() {
    let (_dir, root) = folder(&["a/1.png", "b/1.png"], &[("b/0.png", "no image")]);
    let said = found(&root).to_string();
    assert!(said.contains("b/0.png") && said.contains("not a readable image"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_are_not() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let (dir, root) = folder(&["cat/1.png"], &[]);
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::copy(root.join("cat/1.png"), dir.path().join("elsewhere/1.png")).unwrap();
    symlink(dir.path().join("elsewhere"), root.join("dog")).unwrap();
    symlink(root.join("cat"), root.join("cat/self")).unwrap();
    symlink("nowhere", root.join("cat/2.png")).unwrap();
    let found = found(&root);
    assert_eq!((found.classes.len(), found.images().total()), (2, 2));
    assert!(found.to_string().contains("2 links lead nowhere or in circles"), "{found}");
    opened(&found);

    fs::create_dir(root.join(OsStr::from_bytes(b"b\xff"))).unwrap();
    let said = unclear(&root, &DiscoverOptions::default());
    assert!(said.contains("not UTF-8"), "{said}");
    let odd = root.join(OsStr::from_bytes(b"b\xff"));
    assert!(unclear(&odd, &DiscoverOptions::default()).contains("not UTF-8"));
}
