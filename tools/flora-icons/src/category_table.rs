//! Which nouns mean something of a class. Curated by hand on the names that occur; precision before recall.

/// Synsets of WordNet (the lemma and the number of its sense) with the class of whatever is a kind of them; `None` stops
/// the search upwards.
pub(crate) const SYNSETS: &[(&str, Option<&str>)] = &[
    ("bird.1", Some("animal-bird")),
    ("mammal.1", Some("animal-mammal")),
    ("hominid.1", None),
    ("aquatic_mammal.1", Some("animal-marine")),
    ("aquatic_vertebrate.1", Some("animal-marine")),
    ("bivalve.1", Some("animal-marine")),
    ("cephalopod.1", Some("animal-marine")),
    ("coelenterate.1", Some("animal-marine")),
    ("crustacean.1", Some("animal-marine")),
    ("echinoderm.1", Some("animal-marine")),
    ("arthropod.1", Some("animal-bug")),
    ("gastropod.1", Some("animal-bug")),
    ("worm.1", Some("animal-bug")),
    ("flower.1", Some("plant-flower")),
    ("flower.2", Some("plant-flower")),
    ("edible_fruit.1", Some("food-fruit")),
    ("vegetable.1", Some("food-vegetable")),
    ("beverage.1", Some("drink")),
    ("cake.3", Some("food-sweet")),
    ("dessert.1", Some("food-sweet")),
    ("sweet.3", Some("food-sweet")),
    ("bread.1", Some("food-prepared")),
    ("cheese.1", Some("food-prepared")),
    ("dish.2", Some("food-prepared")),
    ("meat.1", Some("food-prepared")),
    ("sandwich.1", Some("food-prepared")),
    ("building.1", Some("place-building")),
    ("castle.2", Some("place-building")),
    ("dwelling.1", Some("place-building")),
    ("fortress.1", Some("place-building")),
    ("mercantile_establishment.1", Some("place-building")),
    ("place_of_worship.1", Some("place-building")),
    ("tower.1", Some("place-building")),
    ("bus.1", Some("transport-ground")),
    ("train.1", Some("transport-ground")),
    ("wheeled_vehicle.1", Some("transport-ground")),
    ("aircraft.1", Some("transport-air")),
    ("spacecraft.1", Some("transport-air")),
    ("ship.1", None),
    ("atmospheric_phenomenon.1", Some("sky-weather")),
    ("celestial_body.1", Some("sky-weather")),
    ("ball.1", Some("sport")),
    ("sports_equipment.1", Some("sport")),
    ("board_game.1", Some("game")),
    ("chessman.1", Some("game")),
    ("game_equipment.1", Some("game")),
    ("plaything.1", Some("game")),
    ("playing_card.1", Some("game")),
    ("clothing.1", Some("clothing")),
    ("footwear.1", Some("clothing")),
    ("footwear.2", Some("clothing")),
    ("headdress.1", Some("clothing")),
    ("jewelry.1", Some("clothing")),
    ("spectacles.1", Some("clothing")),
    ("musical_instrument.1", Some("musical-instrument")),
    ("computer.1", Some("computer")),
    ("magnetic_disk.1", Some("computer")),
    ("peripheral.1", Some("computer")),
    ("camera.1", Some("light-video")),
    ("lamp.1", Some("light-video")),
    ("lamp.2", Some("light-video")),
    ("candle.1", Some("light-video")),
    ("book.1", Some("book-paper")),
    ("book.2", Some("book-paper")),
    ("newspaper.1", Some("book-paper")),
    ("newspaper.3", Some("book-paper")),
    ("publication.1", Some("book-paper")),
    ("mailbox.1", Some("mail")),
    ("gun.1", None),
    ("missile.2", None),
    ("projectile.1", None),
    ("tool.1", Some("tool")),
    ("weapon.1", Some("tool")),
    ("bedclothes.1", Some("household")),
    ("cooking_utensil.1", Some("household")),
    ("furniture.1", Some("household")),
    ("home_appliance.1", Some("household")),
    ("kitchen_utensil.1", Some("household")),
    ("white_goods.1", Some("household")),
    ("body_part.1", Some("body-parts")),
    ("tissue.1", None),
    ("athlete.1", Some("person-sport")),
];

/// Nouns that are of a class whatever WordNet makes of them, alone and at the end of a name.
pub(crate) const HEADS: &[(&str, &str)] = &[
    ("body-parts", "finger, fist, thumb, skeleton hand"),
    ("book-paper", "certificate, passport, magazine, brochure"),
    ("clothing", "graduation hat, hard hat, helmet"),
    ("computer", "computer monitor, smartphone, hard drive, usb stick, gamepad keyboard"),
    ("drink", "cup of tea, cup of coffee, coffee cup, teacup, tea cup, coffee mug"),
    ("game", "jigsaw"),
    ("food-prepared", "burger, sausage, fried egg, toast bread"),
    ("food-sweet", "chocolate, donut, ice cream cone, popsicle, icecream"),
    ("household", "sofa, washing machine, fridge, vacuum cleaner, frying pan"),
    ("light-video", "lightbulb, webcam, camcorder, lantern, tv, light bulb"),
    ("mail", "mailbox, letterbox, parcel"),
    ("person", "girl, boy"),
    (
        "person-role",
        "nurse, doctor, soldier, fireman, firefighter, policeman, policewoman, sailor, chef, waiter, waitress, carpenter, \
         plumber, blacksmith, lawyer, hairdresser, barber, dentist, surgeon, receptionist, handyman, postman, electrician, \
         gardener, cowboy, teacher, farmer, princess, businessman, businesswoman, priest",
    ),
    (
        "person-fantasy",
        "fairy, elf, mermaid, vampire, zombie, witch, goblin, ogre, sorcerer, centaur, minotaur, werewolf",
    ),
    ("place-building", "skyscraper, mosque, church, cathedral, shop, bungalow, lighthouse"),
    ("sport", "dumbbell, barbell, racket, basketball hoop, hockey stick, golf club"),
    ("tool", "pliers, pickaxe, crowbar, chainsaw, scythe, sickle, anvil"),
    ("transport-air", "spaceship, ufo"),
    ("transport-ground", "truck, bike, motorbike, car, stroller"),
];

/// Names that are of a class when nothing else is said: "user heart" shows a user.
pub(crate) const WHOLE_NAMES: &[(&str, &str)] = &[
    ("body-parts", "hand, foot, arm"),
    ("heart", "heart, hearts"),
    ("office", "folder, ruler"),
    ("person-fantasy", "wizard, genie"),
    ("transport-ground", "tank"),
];

/// Nouns that are no class, or of several, or not what WordNet's most frequent sense says.
pub(crate) const NO_CLASS: &str = "\
    afferent, apple, basket star, apparel, arrow, auto, awn, back, bar, bars, beef, behind, bibs, biff, bill, bones, boot, \
    brick, buffet, bullet, car battery, cart, charger, check, chest, chip, chips, christmas tree, colon, construction, \
    control tower, cooker hood, cooking, cooler, copilot, copyright, cricket, daily, diaper, disc, disco ball, document, domino, \
    drawers, dug, efferent, electric, element, elements, face, face powder, file, film, fly, gargoyle, gnome, grill, halal, \
    head, high bar, high bars, home, hook, horizontal bar, horseback, human, ice, imp, java, jaw, key, knight, knob, laundry, link, lower, mac, makeup, \
    manufactured home, missile, missiles, \
    mini, mount, mouse, organ, orb, optic, palm, pick, pin, pit, plane, plant, poi, play store, point, prick, pro, queen, quick, \
    ram, read, report, res, return, right, ring, rings, rock, rosette, scarab, seal, seat, seatbelt, share, shrink, side, \
    silo, skull, small, spade, spades, stable, star rating, station, stop, stop sign, submarine, suit, table, tail, \
    threads, thumbnail, tissue, tux, vintage, wearable, website, window, windows, wine bar, wing, wings, \
    wmd, wood, wrap, wrapper, \
    app store, bow, carriage return, cell tower, claw, spider web, web, ticket, tickets, electric car charging, tool, tools, \
    weather, planet earth, food fish, cookie consent, bus stop, goal net, flag in hole, wheelchair, satellite, horn, \
    chime, lap, panel, drum pad, beat, baby, shot, platter, poker chip, crossword, abacus, brief, briefs, magnifier, \
    trunk, palette, block, blocks, server, tablet, browser, screen, phone, bolt, vessel, branch, root, shell, crown, \
    weapon, chemical weapon, cannon ball, poison gas, brass knuckles, table football, wedding, suspension railway, \
    building construction, pregnant woman, person standing, oil drum, cloud, bookmark, label, scroll, horse power, page";

/// Nouns that icons carry as a badge at the end of a name: they count only where they are the whole name.
pub(crate) const BADGES: &str = "\
    bank, bat, battery, bomb, bubbles, bug, child, droplet, ear, elevator, eye, eyes, fire, gear, hand, knees, lightning, link, \
    magnet, man, men, mouth, person, pie, pushpin, ribbon, school, shield, snow, snowflake, sparkle, sparkles, star, stars, \
    store, storm, sun, toolbox, tower, user, wheel, wind, woman, women, wrench";

/// First words of longer names that show this, with a badge.
pub(crate) const CARRIERS: &str = "\
    account, bookmark, calendar, chart, chat, cloud, document, file, folder, home, mail, message, mobile, monitor, page, phone, \
    screen, smartphone, user, users, video";

/// What comes before one of these is the subject rather than the end of the name.
pub(crate) const JOINTS: &str = "\
    above, and, at, behind, below, beside, by, for, from, in, inside, near, on, over, through, to, towards, under, using, \
    wearing, with, without";
