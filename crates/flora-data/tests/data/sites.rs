//! One site's part of a data set, with the class names of all sites.

use flora_data::{Dataset, Error, PartitionConfig, Protocol, Split, Template};

use crate::sets::{VENDORS, vendors, write_vendors};

fn names(set: &Dataset) -> Vec<String> {
    (0..set.len()).map(|i| set.describe(i)).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn a_domain_keeps_its_images_in_their_order() {
    let dir = vendors();
    let whole = Dataset::open(dir.path(), None).unwrap();
    let mut seen = 0;
    for (number, (domain, count)) in [("alpha", 16), ("beta", 8)].into_iter().enumerate() {
        let set = whole.clone().with_domain(domain).unwrap();
        assert_eq!((set.domains(), set.len()), (&words(&[domain])[..], count));
        assert_eq!(set.classes(), whole.classes());
        let of_domain: Vec<usize> =
            (0..whole.len()).filter(|&i| whole.domain(i) == Some(number)).collect();
        for (i, &place) in of_domain.iter().enumerate() {
            assert_eq!(set.describe(i), whole.describe(place));
            assert_eq!((set.label(i), set.split(i)), (whole.label(place), whole.split(place)));
            assert_eq!(set.domain(i), Some(0));
            assert_eq!(set.image(i).unwrap(), whole.image(place).unwrap());
        }
        assert_ne!(set.fingerprint().unwrap(), whole.fingerprint().unwrap());
        // A data set like any other.
        let natural = PartitionConfig::Natural.apply(&set, 0).unwrap();
        assert_eq!((natural.clients.len(), natural.clients[0].id.as_str()), (1, domain));
        let split = set.clone().with_protocol(Protocol::MERGED);
        assert_eq!(split.indices(Split::Test).len(), count.div_ceil(5));
        assert_eq!(names(&set.clone().with_domain(domain).unwrap()), names(&set));
        seen += set.len();
    }
    assert_eq!(seen, whole.len());
}

#[test]
fn a_domain_that_is_not_there_is_told() {
    let dir = vendors();
    let whole = Dataset::open(dir.path(), None).unwrap();
    let error = whole.clone().with_domain("gamma").unwrap_err();
    assert!(matches!(&error, Error::Domain { domain, .. } if domain == "gamma"));
    let message = error.to_string();
    assert!(message.contains("\"vendors\"") && message.contains("alpha, beta"), "{message}");
    let one = whole.with_domain("alpha").unwrap();
    assert!(one.with_domain("beta").is_err());
    let pattern = "images/alpha/{split}/{class}";
    write_vendors(&dir, &VENDORS.replace("images/{domain}/{split}/{class}", pattern));
    let without = Dataset::open(dir.path(), None).unwrap();
    let message = without.with_domain("alpha").unwrap_err().to_string();
    assert!(message.contains("{domain}"), "{message}");
}

#[test]
fn classes_are_found_by_name() {
    let dir = vendors();
    let own = Dataset::open(dir.path(), None).unwrap();
    let fingerprint = own.fingerprint().unwrap();
    let all = words(&["wolf", "lion or tiger", "bear", "dog"]);
    let set = own.clone().with_classes(&all).unwrap();
    assert_eq!(set.classes(), all);
    assert_eq!(names(&set), names(&own));
    for i in 0..own.len() {
        assert_eq!(all[set.label(i)], own.classes()[own.label(i)]);
        assert_eq!((set.split(i), set.domain(i)), (own.split(i), own.domain(i)));
    }
    assert_eq!(set.fingerprint().unwrap(), fingerprint);
    assert_eq!(set.with_classes(own.classes()).unwrap().label(0), own.label(0));
}

#[test]
fn a_class_that_is_not_in_the_list_is_told_if_it_has_images() {
    let dir = vendors();
    let own = Dataset::open(dir.path(), None).unwrap();
    let error = own.clone().with_classes(&words(&["dog", "Lion or tiger"])).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("\"lion or tiger\", which is not one of dog, Lion or tiger"),
        "{message}"
    );
    assert!(message.contains("big_cat"), "it names an image: {message}");
    let many: Vec<String> = (0..30).map(|class| format!("class {class}")).collect();
    let message = own.clone().with_classes(&many).unwrap_err().to_string();
    assert!(message.contains("class 7 and 22 more") && !message.contains("class 8"), "{message}");
    let error = own.clone().with_classes(&words(&["dog", "lion or tiger", "dog"])).unwrap_err();
    assert!(matches!(&error, Error::DoubledClass { class } if class == "dog"));
    // A class that has lost its images is ignored.
    let dogs = own.clone().with_classes(&words(&["dog", "lion or tiger", "none"])).unwrap();
    assert!(dogs.clone().with_classes(own.classes()).is_ok());
}

#[test]
fn a_data_set_may_be_names_alone() {
    let template = Template::new("a {}.").unwrap();
    let set = Dataset::named("served", &words(&["cat", "dog"]), template);
    assert_eq!((set.name(), set.title(), set.len()), ("served", "served", 0));
    assert_eq!((set.classes().len(), set.template().as_str()), (2, "a {}."));
    assert!(set.is_empty() && set.domains().is_empty() && set.passed_over().warning().is_none());
}
