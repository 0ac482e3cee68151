//! Heads equal those of scikit-learn, and of the authors of GDA, for the same images: `fixtures/make_heads.py`.

mod support;

use flora_core::ParameterRecord;
use flora_heads::{Gda, Lda, LinearClassifier, Moments, Ncm, Ridge};
use support::{Images, assert_close};

const SEEN: usize = 5;

struct Fixture(ParameterRecord);

impl Fixture {
    fn read() -> Self {
        let bytes = include_bytes!("fixtures/heads.safetensors");
        Self(ParameterRecord::from_safetensors(bytes).unwrap())
    }

    fn get(&self, name: &str) -> Vec<f32> {
        self.0.get(name).unwrap_or_else(|| panic!("the fixture has no {name}")).to_f32().into()
    }

    fn images(&self) -> Images {
        let labels = self.get("labels").iter().map(|&label| label as usize).collect();
        let shape = self.0.get("texts").unwrap().shape();
        Images {
            dim: shape[1],
            classes: shape[0],
            features: self.get("features"),
            labels,
            texts: self.get("texts"),
        }
    }
}

fn plain() -> Ridge {
    Ridge { lambda: 0.1, prior: 0.0, balance: 0.0, intercept: false }
}

/// The rows of the classes that have images.
fn seen(head: &LinearClassifier) -> &[f32] {
    &head.weight[..SEEN * head.dim]
}

#[test]
fn ridge_is_scikit_learns() {
    let fixture = Fixture::read();
    let images = fixture.images();
    let moments = images.moments();
    let solve = |ridge: Ridge| ridge.solve(&moments, &images.texts).unwrap();
    let rows = |name: &str| fixture.get(name)[..SEEN * images.dim].to_vec();

    let head = solve(plain());
    assert_close("plain", &head.weight, &fixture.get("ridge.plain"), 1e-5);
    assert_eq!(head.bias, vec![0.0; images.classes]);

    let head = solve(Ridge { intercept: true, ..plain() });
    assert_close("intercept", &head.weight, &fixture.get("ridge.intercept"), 1e-5);
    assert_close("bias", &head.bias, &fixture.get("ridge.intercept.bias"), 1e-5);

    let head = solve(Ridge { balance: 0.5, ..plain() });
    assert_close("balanced", &head.weight, &fixture.get("ridge.balanced"), 1e-5);

    // Without images, scikit-learn moves a class away from its text; here it keeps it.
    let head = solve(Ridge { prior: 0.5, ..plain() });
    assert_close("prior", seen(&head), &rows("ridge.prior"), 1e-5);
    let text: Vec<f32> = images.texts[SEEN * images.dim..].iter().map(|text| text * 0.5).collect();
    assert_eq!(head.weight[SEEN * images.dim..], text);
}

#[test]
fn a_weight_is_scikit_learns_sample_weight() {
    let fixture = Fixture::read();
    let images = fixture.images();
    let mut moments = Moments::new(images.dim, images.classes);
    for (image, &weight) in fixture.get("weights").iter().enumerate() {
        moments.add(images.feature(image), images.labels[image], f64::from(weight)).unwrap();
    }
    let head = plain().solve(&moments, &images.texts).unwrap();
    assert_close("weighted", &head.weight, &fixture.get("ridge.weighted"), 1e-5);
}

#[test]
fn gda_is_its_authors() {
    let fixture = Fixture::read();
    let images = fixture.images();
    let head = Gda::default().solve(&images.moments(), &images.texts).unwrap();
    assert_close("weight", seen(&head), &fixture.get("gda.weight"), 1e-5);
    assert_close("bias", &head.bias[..SEEN], &fixture.get("gda.bias"), 1e-5);
}

/// scikit-learn's logits lack log N(x; m, A), which all classes share, so the test compares each class with the first.
#[test]
fn lda_is_scikit_learns() {
    let fixture = Fixture::read();
    let images = fixture.images();
    let differences = |weight: &[f32], bias: &[f32]| -> Vec<f32> {
        let head = LinearClassifier {
            dim: images.dim,
            classes: SEEN,
            weight: weight.to_vec(),
            bias: bias.to_vec(),
        };
        let logits = head.logits(&images.features).unwrap();
        logits.chunks(SEEN).flat_map(|row| row.iter().map(|logit| logit - row[0])).collect()
    };
    for (name, lambda) in [("lda.fixed", Some(0.1)), ("lda.default", None)] {
        let head = Lda { lambda }.solve(&images.moments()).unwrap();
        let ours = differences(seen(&head), &head.bias[..SEEN]);
        let theirs = differences(&fixture.get(name), &fixture.get(&format!("{name}.bias")));
        assert_close(name, &ours, &theirs, 1e-5);
        assert!(theirs.iter().any(|logit| logit.abs() > 1.0));
    }
}

#[test]
fn ncm_is_scikit_learns_nearest_centroid() {
    let fixture = Fixture::read();
    let images = fixture.images();
    let head = Ncm::default().solve(&images.moments(), &images.texts).unwrap();
    assert_close("ncm", seen(&head), &fixture.get("ncm"), 1e-6);
    assert_eq!(head.weight[SEEN * images.dim..], images.texts[SEEN * images.dim..]);
    assert_eq!(head.bias, vec![0.0; images.classes]);
}
