//! What a hit tells about its sender: browser, device, bot, place, network, source and channel.
