//! The licence file of each vendor's images.

use crate::iconify::Info;
use crate::vendors::Vendor;

/// The MIT licence without its copyright line.
const MIT: &str = "\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the \"Software\"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";

const APACHE: &str = "\
Licensed under the Apache License, Version 2.0 (the \"License\"); you may not use these files except in compliance with the
License. You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

and as LICENSE-APACHE in the root of this repository. Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an \"AS IS\" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either
express or implied. See the License for the specific language governing permissions and limitations under the License.
";

const SHARE_ALIKE: &str = "\
License: CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/
Legal code: https://creativecommons.org/licenses/by-sa/4.0/legalcode

The images in this folder are adapted material and are offered under the same licence, CC BY-SA 4.0, whatever the licence of
the rest of this repository. You may share and adapt them for any purpose if you give credit as above, say what you changed,
and pass your adaptations on under the same licence.
";

/// The text of `LICENSE.txt` for the images of `vendor`, made from version `version` of the package.
pub(crate) fn text(vendor: &Vendor, info: &Info, version: &str) -> String {
    let terms = match vendor.spdx {
        "MIT" => MIT,
        "Apache-2.0" => APACHE,
        _ => SHARE_ALIKE,
    };
    format!(
        "{name} by {author}: {licence} ({spdx})\n\n\
         Artwork: {url}\n\
         Licence: {licence_url}\n\
         Source:  npm package @iconify/json {version}, set `{prefix}`\n\
         Changes: rendered from SVG at 64 x 64 pixels on white and reduced to 64 colours\n\n\
         {copyright}\n\n{terms}",
        name = info.name,
        author = info.author.name,
        licence = vendor.licence,
        spdx = vendor.spdx,
        url = info.author.url,
        licence_url = info.license.url,
        prefix = vendor.prefix,
        copyright = vendor.copyright,
    )
}
