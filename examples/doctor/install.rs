//! What to install where there is no adapter.

/// Commands for this system.
pub fn advice() -> String {
    let lines = match std::env::consts::OS {
        "linux" => linux(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
        "macos" => {
            "Metal belongs to macOS; a virtual machine needs paravirtualised graphics switched on.".into()
        }
        "windows" => {
            "Install or update the graphics driver; DX12's software renderer (WARP) belongs to Windows."
                .into()
        }
        other => format!("Install a Vulkan driver and loader for {other}, such as Mesa's."),
    };
    format!("No adapter at all. {lines}")
}

/// By the distribution's `ID` and `ID_LIKE`.
fn linux(release: &str) -> String {
    let field = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let family = format!("{} {}", field("ID"), field("ID_LIKE"));
    let command = [
        ("debian", "apt-get install libvulkan1 mesa-vulkan-drivers"),
        ("ubuntu", "apt-get install libvulkan1 mesa-vulkan-drivers"),
        ("fedora", "dnf install vulkan-loader mesa-vulkan-drivers"),
        ("rhel", "dnf install vulkan-loader mesa-vulkan-drivers"),
        ("arch", "pacman -S vulkan-icd-loader vulkan-swrast"),
        ("alpine", "apk add vulkan-loader mesa-vulkan-swrast"),
    ]
    .into_iter()
    .find(|(name, _)| family.split_whitespace().any(|word| word.contains(name)));
    let driver = "For a graphics card, its vendor's driver with Vulkan; for the CPU, Mesa's lavapipe:";
    match command {
        Some((_, command)) => format!("{driver}\n  {command}"),
        None => format!("{driver}\n  your distribution's Vulkan loader and Mesa's Vulkan drivers"),
    }
}
