//! Profiles of sites, and the common plan of a run on all of them.

use std::collections::{BTreeMap, BTreeSet};

use flora_core::text::printable;
use flora_data::Template;
use flora_federation::protocol::PROFILE;
use flora_federation::{Message, Value};

use super::SiteProfile;

/// The common part of all sites' plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The classes that the model distinguishes, by label.
    pub classes: Vec<String>,
    /// The prompt of a class, with `{}` for its name.
    pub template: String,
    /// Whether the sites have the same classes in the same order.
    pub same_classes: bool,
}

/// Reads and checks a site's profile in its reply to [`HELLO`](flora_federation::protocol::HELLO).
///
/// # Errors
///
/// A reply without a profile, one that cannot be read, and invalid classes or prompts.
pub fn read_profile(answer: &Message) -> Result<SiteProfile, String> {
    let Some(Value::Text(json)) = answer.config.get(PROFILE) else {
        return Err("its reply has no profile; does it run flora node?".to_owned());
    };
    let profile: SiteProfile = serde_json::from_str(json).map_err(|error| {
        format!("its profile cannot be read ({error}); do both run the same version of flora?")
    })?;
    if profile.classes.is_empty() {
        return Err("it has no classes".to_owned());
    }
    let mut seen = BTreeSet::new();
    if let Some(class) = profile.classes.iter().find(|class| !seen.insert(*class)) {
        return Err(format!("it has the class {:?} twice", printable(class)));
    }
    Template::new(&profile.template).map_err(|error| error.to_string())?;
    Ok(profile)
}

/// The common classes and prompt of the sites, by name. The classes are the union of all sites' classes, in their order
/// if all sites agree, otherwise in alphabetical order. The prompt is that of the experiment (`data.template`), or
/// otherwise theirs.
///
/// # Errors
///
/// No sites; different prompts, if the experiment sets none.
pub fn agree(
    template: Option<&str>,
    profiles: &BTreeMap<String, SiteProfile>,
) -> Result<Agreed, String> {
    let (first, profile) = profiles.first_key_value().ok_or("there is no site")?;
    let same_classes = profiles.values().all(|it| it.classes == profile.classes);
    let classes = match same_classes {
        true => profile.classes.clone(),
        false => {
            let all: BTreeSet<_> = profiles.values().flat_map(|it| &it.classes).collect();
            all.into_iter().cloned().collect()
        }
    };
    let other = profiles.iter().find(|(_, it)| it.template != profile.template);
    let template = match (template, other) {
        (Some(template), _) => template,
        (None, None) => &profile.template,
        (None, Some((other, its))) => {
            return Err(format!(
                "data.template: {first} has {:?}, but {other} has {:?}; choose one: --set 'data.template=a photo of \
                 a {{}}.'",
                printable(&profile.template),
                printable(&its.template)
            ));
        }
    };
    Ok(Agreed { classes, template: template.to_owned(), same_classes })
}

#[cfg(test)]
mod tests {
    use flora_federation::Config;

    use super::*;
    use crate::Base;

    fn profile(classes: &[&str], template: &str) -> SiteProfile {
        SiteProfile {
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            template: template.to_owned(),
            images: 3,
            base: Base { weights: "w".to_owned(), settings: "s".to_owned() },
            flora: "0.1.0".to_owned(),
        }
    }

    fn agreed(template: Option<&str>, profiles: &[SiteProfile]) -> Result<Agreed, String> {
        let named = ["alpha", "beta", "gamma"].map(str::to_owned).into_iter();
        agree(template, &named.zip(profiles.iter().cloned()).collect())
    }

    #[test]
    fn the_classes_of_all_sites_are_told_apart() {
        let (ours, theirs) = (profile(&["dog", "cat"], "a {}"), profile(&["emu", "dog"], "a {}"));
        // If all sites have the same classes, their labels stay.
        let same = agreed(None, &[ours.clone(), ours.clone()]).unwrap();
        assert_eq!((same.classes, same.same_classes), (ours.classes.clone(), true));
        for profiles in [[ours.clone(), theirs.clone()], [theirs, ours.clone()]] {
            let all = agreed(None, &profiles).unwrap();
            assert_eq!(all.classes, ["cat", "dog", "emu"]);
            assert!(!all.same_classes);
        }
        let turned = agreed(None, &[ours, profile(&["cat", "dog"], "a {}")]).unwrap();
        assert_eq!((turned.classes.len(), turned.same_classes), (2, false));
        assert_eq!(agreed(None, &[]).unwrap_err(), "there is no site");
    }

    #[test]
    fn the_experiments_prompt_goes_before_those_of_the_sites() {
        let profiles = ["a {}", "a {}", "the {}"].map(|template| profile(&["cat"], template));
        assert_eq!(agreed(None, &profiles[..2]).unwrap().template, "a {}");
        assert_eq!(agreed(Some("no {}"), &profiles).unwrap().template, "no {}");
        let error = agreed(None, &profiles).unwrap_err();
        let words = "data.template: alpha has \"a {}\", but gamma has \"the {}\"; choose one";
        assert!(error.starts_with(words), "{error}");
    }

    #[test]
    fn what_no_run_can_have_is_refused() {
        let read = |json: &str| {
            let value = Value::Text(json.to_owned());
            let config = Config::from([(PROFILE.to_owned(), value)]);
            read_profile(&Message { config, ..Message::default() })
        };
        let json = |profile: &SiteProfile| serde_json::to_string(profile).unwrap();
        let good = profile(&["cat", "dog"], "a {}");
        assert_eq!(read(&json(&good)), Ok(good));
        for (classes, template, words) in [
            (&[][..], "a {}", "no classes"),
            (&["cat", "dog", "cat"], "a {}", "\"cat\" twice"),
            (&["cat"], "a cat", "{}"),
        ] {
            let error = read(&json(&profile(classes, template))).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(read("{}").unwrap_err().contains("same version"));
        assert!(read_profile(&Message::default()).unwrap_err().contains("has no profile"));
    }
}
