//! A site's view of a data set: its own images, with the class names of all sites.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use flora_core::images::PassedOver;

use super::source::Source;
use super::{Dataset, Sample, Shared, Template};
use crate::Error;

/// Maximum number of names in a message.
const NAMED: usize = 8;

impl Dataset {
    /// The samples of one domain, which is the only domain of the result. Samples are renumbered in their old order;
    /// classes keep their labels, including those without images.
    ///
    /// # Errors
    ///
    /// [`Error::Domain`]: the domain does not exist.
    pub fn with_domain(self, domain: &str) -> Result<Self, Error> {
        let Some(number) = self.domains.iter().position(|name| name == domain) else {
            let remedy = match &self.domains[..] {
                [] => "it has none: put {domain} into its `layout.pattern`, or name no domain"
                    .to_owned(),
                domains => format!("choose among {}", some_of(domains)),
            };
            let (dataset, domain) = (self.name().to_owned(), domain.to_owned());
            return Err(Error::Domain { dataset, domain, remedy });
        };
        let of_domain = |sample: &&Sample| sample.domain == Some(number as u32);
        let renumbered = |sample: &Sample| Sample { domain: Some(0), ..sample.clone() };
        let samples = self.samples.iter().filter(of_domain).map(renumbered).collect();
        let domains = Arc::new([domain.to_owned()]);
        Ok(Self { samples, domains, fingerprint: OnceLock::new(), ..self })
    }

    /// The same samples, labelled by the index of their class in `classes`. A class of the list may have no images, and
    /// a class without images need not be in the list. Names must match exactly.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownClass`]: an image whose class is not in the list. [`Error::DoubledClass`]: a class that is in it
    /// twice.
    pub fn with_classes(self, classes: &[String]) -> Result<Self, Error> {
        let mut labels: HashMap<&str, u32> = HashMap::new();
        for (label, class) in (0..).zip(classes) {
            if labels.insert(class, label).is_some() {
                return Err(Error::DoubledClass { class: class.clone() });
            }
        }
        let new: Vec<Option<u32>> =
            self.classes.iter().map(|class| labels.get(class.as_str()).copied()).collect();
        let unknown = |index: usize| Error::UnknownClass {
            place: self.describe(index),
            class: self.classes[self.label(index)].clone(),
            classes: some_of(classes),
            remedy: "give the class the name that is in the list, or leave its images out"
                .to_owned(),
        };
        let relabelled = |(index, sample): (usize, &Sample)| {
            let label = new[sample.label()].ok_or_else(|| unknown(index))?;
            Ok(Sample { label, ..sample.clone() })
        };
        let samples =
            self.samples.iter().enumerate().map(relabelled).collect::<Result<_, Error>>()?;
        // Values computed from the images alone do not depend on labels.
        Ok(Self { samples, classes: classes.into(), ..self })
    }

    /// A data set without images: a name, classes and their prompt, if the images are elsewhere.
    pub fn named(name: &str, classes: &[String], template: Template) -> Self {
        let unspecified = || "unspecified".to_owned();
        Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                title: name.to_owned(),
                license: unspecified(),
                source: unspecified(),
                homepage: None,
                template,
                texts: None,
                group: None,
                images: Source::Files(Vec::new()),
                root: PathBuf::new(),
                passed_over: PassedOver::default(),
            }),
            classes: classes.into(),
            domains: Arc::default(),
            samples: Arc::default(),
            view: None,
            fingerprint: OnceLock::new(),
        }
    }
}

/// The first few names, for a message.
fn some_of(names: &[String]) -> String {
    match names.split_at_checked(NAMED) {
        Some((first, rest)) if !rest.is_empty() => {
            format!("{} and {} more", first.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}
