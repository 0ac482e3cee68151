use std::path::{Path, PathBuf};

use flora::core::files::write_atomic;
use flora::core::shell::quoted;
use flora::core::text;
use flora::data::{Dataset, DiscoverOptions, discover};
use flora::hub::{HubError, ModelSource};
use flora::report::is_run;
use flora::tuning::starter_experiment;

use crate::failure::Failure;
use crate::output::{self, Overwrite};

/// Inspect a folder of your own images, report its contents, and write the files for a run on it: a description of the
/// data set and an experiment. Or, with --examples, unpack the model and the data sets that ship with flora
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// A folder with one sub-folder of images per class, or with a table (CSV or JSON lines) of labels; or the table
    /// itself. Nothing in it is changed
    #[arg(value_name = "FOLDER|TABLE")]
    #[cfg_attr(feature = "examples", arg(required_unless_present = "examples"))]
    #[cfg_attr(not(feature = "examples"), arg(required = true))]
    folder: Option<PathBuf>,
    /// Where to write the two files [default: the current folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Unpack the model and the data sets that ship with flora: into the folder of --out, or else into the user's data
    /// folder, where every command finds them
    #[cfg(feature = "examples")]
    #[arg(long, conflicts_with_all = ["folder", "model", "pattern", "label", "site"])]
    examples: bool,
    #[command(flatten)]
    overwrite: Overwrite,
    /// The model of the experiment: a folder or file, the name of a known model, or
    /// hf:owner/name[@revision] [default: clip-nano]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The meaning of the folders, if it is detected wrongly: for example "{domain}/{class}" for site/class/image,
    /// "{class}/{domain}" for the other way round; {split} is for train, test and so on
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<String>,
    /// The column of a table with the labels, if it is detected wrongly
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The column of a table with the site that holds an image
    #[arg(long, value_name = "COLUMN")]
    site: Option<String>,
}

impl Init {
    pub(crate) fn run(self) -> Result<(), Failure> {
        #[cfg(feature = "examples")]
        if self.examples {
            return self.unpack_examples();
        }
        // The parser asks for one.
        let folder = self.folder.as_deref().unwrap_or(Path::new("."));
        if is_run(folder) {
            let problem = format!("{} is the folder of a run, not of images", folder.display());
            return Err(Failure::Input(problem));
        }
        let model = self.model.as_deref().map(model).transpose()?;
        let out = self.out_folder(folder)?;
        let options = DiscoverOptions {
            pattern: self.pattern.clone(),
            label: self.label.clone(),
            site: self.site.clone(),
        };
        let found = discover(folder, &options).map_err(Failure::input)?;

        let description = match found.described() {
            Some(file) => file.to_owned(),
            None => out.join(format!("{}.toml", found.name)),
        };
        let whole =
            std::path::absolute(&description).map_err(|error| cannot(&description, error))?;
        if whole.to_str().is_none() {
            let problem = format!("--out: {} is not UTF-8; name another folder", out.display());
            return Err(Failure::Input(problem));
        }
        let experiment = out.join(format!("{}-experiment.toml", found.name));
        let text = starter_experiment(&found, &whole, model.as_deref());
        let mut files = vec![(&experiment, text)];
        files.extend(found.description().map(|text| (&description, text)));
        let place = if self.out.is_some() { "--out" } else { "the current folder" };
        for (file, _) in &files {
            self.overwrite.check(place, file, &["toml"])?;
        }
        output::line(&found);
        output::line("");
        for (file, text) in files.iter().rev() {
            write_atomic(file, text.as_bytes()).map_err(|error| cannot(file, error))?;
            output::line(format!("written: {}", text::path(file)));
        }
        // Check that the written files are usable.
        Dataset::open(&description, None).map_err(|error| {
            let description = description.display();
            Failure::Input(format!("{description} cannot be used yet: {error}"))
        })?;
        let (description, experiment) = (quoted(&description), quoted(&experiment));
        let run = quoted(&Path::new("runs").join(&found.name));
        let csv = |what: &str| quoted(Path::new(&format!("{}-{what}.csv", found.name)));
        output::line(format!(
            "\nRead both, correct the names of the classes, and continue with:\n\n\
             flora datasets check {description}\n\
             flora run {experiment} --out {run}\n\
             flora eval --run {run} --predictions {}\n\
             flora classify --run {run} --csv {} {}",
            csv("predictions"),
            csv("classified"),
            quoted(&found.folder)
        ));
        Ok(())
    }

    #[cfg(feature = "examples")]
    fn unpack_examples(&self) -> Result<(), Failure> {
        let Some(out) = &self.out else {
            let folder = flora_examples::installed().map_err(Failure::input)?;
            // Also what is there already, which may be damaged.
            flora_examples::unpack(&folder).map_err(Failure::input)?;
            output::line(format!(
                "the model and the data sets of flora are in {}",
                text::path(&folder)
            ));
            crate::shipped::name_other_versions();
            return Ok(());
        };
        self.overwrite.check_folder("--out", out)?;
        std::fs::create_dir_all(out).map_err(|error| cannot(out, error))?;
        let files = flora_examples::unpack(out).map_err(Failure::input)?;
        output::line(format!("written: {files} files in {}", text::path(out)));
        output::line(format!(
            "Commands find them where that is the current folder, or anywhere with\n\nexport FLORA_HOME={}",
            quoted(&std::path::absolute(out).map_err(|error| cannot(out, error))?)
        ));
        Ok(())
    }

    /// The output folder: never the folder of the images, unless requested.
    fn out_folder(&self, folder: &Path) -> Result<PathBuf, Failure> {
        if let Some(out) = &self.out {
            if out.exists() && !out.is_dir() {
                return Err(Failure::Input(format!("--out: {} is not a folder", out.display())));
            }
            return Ok(out.clone());
        }
        let images = match folder.is_file() {
            true => folder.parent().map(Path::to_owned).unwrap_or_default(),
            false => folder.to_owned(),
        };
        let images = if images.as_os_str().is_empty() { PathBuf::from(".") } else { images };
        let here = Path::new(".").canonicalize().map_err(|error| cannot(Path::new("."), error))?;
        match images.canonicalize() {
            Ok(images) if here.starts_with(&images) => Err(Failure::Input(format!(
                "{} is the current folder or contains it, and no files are written among the images; name \
                 another folder, as in --out {}",
                folder.display(),
                quoted(images.parent().unwrap_or(&images))
            ))),
            _ => Ok(PathBuf::new()),
        }
    }
}

/// The model as an experiment names it: a path that is valid from any folder.
fn model(model: &str) -> Result<String, Failure> {
    let wrong = |problem: String| Failure::Input(format!("--model: {problem}"));
    if Path::new(model).exists() {
        let path = std::path::absolute(model).map_err(|error| wrong(error.to_string()))?;
        return path
            .into_os_string()
            .into_string()
            .map_err(|path| wrong(format!("{} is not UTF-8: rename it", path.to_string_lossy())));
    }
    // A model that has to be downloaded is looked up when it is needed.
    if let ModelSource::Local(_) =
        model.parse().map_err(|error: HubError| wrong(error.to_string()))?
    {
        flora::hub::resolve(model, &mut |_| {}).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(model.to_owned())
}

fn cannot(path: &Path, error: std::io::Error) -> Failure {
    Failure::Input(format!("{}: {error}", path.display()))
}
