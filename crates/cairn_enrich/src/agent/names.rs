//! The words that name browsers and systems, best first. Written for this project.
//!
//! A needle starts at the beginning of a word unless it begins with `~`; the version is read
//! right after it. The order decides: a browser built on another one stands before it.

/// Words of browsers and apps, and the name reported for each.
pub(super) const BROWSERS: &[(&str, &str)] = &[
    ("edg/", "Edge"),
    ("edga/", "Edge"),
    ("edgios/", "Edge"),
    ("edge/", "Edge"),
    ("opr/", "Opera"),
    ("samsungbrowser/", "Samsung Internet"),
    ("yabrowser/", "Yandex Browser"),
    ("ucbrowser/", "UC Browser"),
    ("vivaldi/", "Vivaldi"),
    ("opera mini", "Opera Mini"),
    ("opera", "Opera"),
    ("fxios/", "Firefox"),
    ("crios/", "Chrome"),
    ("headlesschrome/", "Headless Chrome"),
    ("chromium/", "Chromium"),
    ("chrome/", "Chrome"),
    ("seamonkey/", "SeaMonkey"),
    ("firefox/", "Firefox"),
    ("safari/", "Safari"),
    ("msie ", "Internet Explorer"),
    ("trident/", "Internet Explorer"),
    ("konqueror/", "Konqueror"),
];

/// Words of operating systems, and the name reported for each.
pub(super) const SYSTEMS: &[(&str, &str)] = &[
    ("windows phone", "Windows Phone"),
    ("iphone", "iOS"),
    ("ipad", "iPadOS"),
    ("ipod", "iOS"),
    ("android", "Android"),
    ("cros ", "Chrome OS"),
    ("windows nt ", "Windows"),
    ("windows", "Windows"),
    ("mac os x", "macOS"),
    ("macintosh", "macOS"),
    ("~linux", "Linux"),
];
