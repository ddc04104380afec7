"""Seeded grammar behind data/train.jsonl: `python models/home-intents/grammar.py` rewrites it.

Notation of a pattern:

    <rule>       one alternative of a rule (alternatives stand apart by commas or line ends)
    [a|b|]       one of the choices; a repeated choice weighs more
    {slot:text}  text is a slot value
    = text       said as it stands; a pattern without "=" is a command and takes polite words
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

SEED = 20240607
PER_INTENT = 165
OUT_OF_SCOPE = 640
HESITATION = 0.07

Token = tuple[str, str]

RULES = {
    # Words around a command.
    "before": """
        please, could you, can you, would you, will you, could you please, can you please, hey,
        hey can you, ok, okay now, hey hub, hub, i'd like you to, i want you to, i need you to,
        would you kindly, go ahead and, be a dear and, just, quickly, do me a favour and, right,
        if you could just, now, alright, let's, hello could you, any chance you could, and,
        you can, hi please, sorry can you, you should, could you maybe, oh and, yeah just""",
    "after": """
        please, please, thanks, for me, now, right now, thank you, when you get a chance,
        if you can, would you, will you, quickly, already, if you don't mind, again, for a bit,
        for us, straight away, if that's ok, cheers, can you, immediately, real quick""",
    "opener": "hey, hey hub, ok, so, oh, well, hub, look, listen, right, and, sorry, hi, gosh, wow",
    # Places.
    "room": """
        kitchen, living room, bedroom, bathroom, hallway, hall, office, study, garage, basement,
        attic, dining room, guest room, kids' room, nursery, laundry room, playroom, porch, patio,
        garden, lounge, main bedroom, spare room, den, conservatory, cellar, landing, sunroom,
        gym, library, pantry, utility room, balcony, driveway, workshop, baby's room, loft,
        tv room, shower room, back room, front room, master bedroom, stairs, shed, toilet""",
    "indoors": """
        kitchen, living room, bedroom, bathroom, hallway, office, study, dining room, guest room,
        kids' room, nursery, playroom, lounge, main bedroom, spare room, den, conservatory, loft,
        sunroom, library, baby's room, tv room, front room, back room, master bedroom, basement""",
    "level": "upstairs, downstairs, outside, upstairs, downstairs",
    "city": """
        berlin, london, paris, new york, madrid, oslo, chicago, dublin, tokyo, rome, vienna,
        san francisco, edinburgh, lisbon, sydney, toronto, munich, bristol, leeds, seattle,
        hamburg, athens, cape town, copenhagen, glasgow, boston, mexico city, warsaw, zurich,
        manchester, denver, prague, amsterdam, the lake district, cornwall, new delhi""",
    # Devices.
    "lights": "lights, lights, lights, light, lamp, lamps, ceiling light, spotlights, wall lights",
    "lamp": """
        lights, light, lamp, ceiling light, floor lamp, desk lamp, bedside lamp, reading lamp,
        table lamp, fairy lights, spotlights, chandelier, night light, wall lights, standing lamp,
        led strip, big light, main light, corner lamp, overhead light, christmas lights, bulbs""",
    "door": """
        front door, back door, garage door, side door, patio door, door, doors, main door, gate,
        garden gate, cellar door, front gate, side gate, porch door, balcony door, kitchen door,
        basement door, entrance door, shed door, hall door""",
    "blind": """
        blinds, blinds, blinds, curtains, curtains, shades, shutters, blind, roller blinds, drapes,
        roller shutters, venetian blinds, window shades, blackout blinds, skylight blind""",
    "heater": "heating, heat, thermostat, radiator, heater, air conditioning, ac, central heating",
    "warmer": "heating, heat, radiator, heater, central heating, radiators, underfloor heating",
    "cooler": "ac, air conditioning, air con, aircon, cooling, fan",
    "speaker": "speaker, speakers, sound bar, stereo, radio, sonos, music system",
    "gadget": """
        tv, dishwasher, washing machine, oven, fan, dryer, coffee machine, heating, ac, radio,
        iron, air purifier, stove, humidifier, boiler, sprinkler, camera, heater, freezer""",
    "my": "the, the, the, the, my, our, those, all the",
    "a_light": """
        the {room:<room>} {device:<lights>}, <my> {room:<room>} {device:<lights>},
        the {device:<lamp>} in the {room:<room>}, <my> {device:<lamp>},
        the {device:<lamp>} [in|over in|out in] [the|our|my] {room:<room>},
        <my> {device:<lights>} {room:<level>}, the {room:<level>} {device:<lights>},
        the {device:<lamp>} by the [sofa|bed|window|door|couch|tv|stove|mirror],
        {room:<room>} {device:<lights>}, the {device:light} [above|over] the [sink|table|mirror]""",
    "a_door": """
        the {device:<door>}, the {device:<door>}, the {device:<door>}, <my> {device:<door>},
        the {device:door} [to|of|in] the {room:<room>}, the {device:<door>} {room:<level>}""",
    "a_blind": """
        the {device:<blind>}, the {room:<indoors>} {device:<blind>}, <my> {device:<blind>},
        the {device:<blind>} in the {room:<indoors>}, <my> {room:<indoors>} {device:<blind>},
        the {device:<blind>} {room:<level>}, all the {device:<blind>} in the {room:<indoors>}""",
    "in_room": "in the {room:<indoors>}, in the {room:<room>}, in [my|our] {room:<indoors>}",
    "inside": "in here, in the {room:<indoors>}, in the {room:<indoors>}, {room:upstairs}, here",
    "here": "in here, in the {room:<room>}, in the {room:<indoors>}, {room:<level>}, here",
    # Numbers.
    "degrees": """
        eighteen, nineteen, twenty, twenty one, twenty two, twenty three, twenty four, seventeen,
        sixteen, fifteen, 18, 19, 20, 21, 22, 23, 16, 24, sixty five, sixty eight, seventy,
        seventy two, 68, 70, 72, nineteen and a half, twenty one point five, 21.5, seventy four""",
    "few": "one, two, three, four, five, 2, 3, a couple of, a few",
    "percent": """
        ten, twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety, twenty five, fifteen,
        seventy five, thirty five, five, a hundred, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 25,
        one hundred, forty five, eighty five, 15, 5""",
    "level_of_ten": "one, two, three, four, five, six, seven, eight, nine, ten, 2, 3, 5, 6, 7, 8",
    # Time.
    "clock": """
        <hour> [am|pm|o'clock], <hour>, <hour> [thirty|fifteen|forty five|ten|twenty|oh five],
        half past <hour>, quarter past <hour>, quarter to <hour>, <hour> [am|pm], noon, midnight,
        [ten|five|twenty] past <hour>, [ten|five|twenty] to <hour>, <digit> [am|pm], <digit>,
        <digit> [30|15|45|20], <hour> [thirty|fifteen|forty five] [am|pm], <hour> in the morning,
        <digit>:[30|15|45|00|10], <hour> at night, <hour> in the evening, a quarter to <hour>""",
    "hour": "six, seven, eight, nine, ten, five, four, eleven, twelve, three, two, one",
    "digit": "5, 6, 7, 8, 9, 10, 11, 4",
    "wake": """
        [five|six|seven|eight|nine], [five|six|seven|eight] [thirty|fifteen|forty five|ten|twenty],
        half past [five|six|seven], quarter [to|past] [six|seven|eight], <digit> [am|30|15|45],
        [five|six|seven|eight] [am|o'clock|in the morning], <clock>, [6|7|8]:[15|30|45|50]""",
    "span": """
        <count> minutes, <count> minutes, <count> minutes, <small> hours, half an hour, an hour,
        a minute, an hour and a half, <count> seconds, a quarter of an hour, <small> minutes,
        one hour, forty five minutes, <small> and a half minutes, one hour and <count> minutes,
        ninety seconds, one minute, <small> hours and <count> minutes, a couple of minutes""",
    "count": """
        five, ten, fifteen, twenty, twenty five, thirty, forty, fifty, eight, twelve, seven, 5, 10,
        15, 20, 30, 45, 90, 12, eighteen, sixteen, thirty five""",
    "small": "two, three, four, six, nine, 2, 3, 4, 6",
    "short": """
        <count> minute, <count> minute, <count> second, <small> hour, one hour, half hour,
        one minute, <small> minute, <small> and a half minute, ninety second""",
    "day": """
        today, tomorrow, tomorrow, tonight, <weekday>, this weekend, tomorrow morning,
        this afternoon, this evening, tomorrow night, next week, <weekday> morning, this morning,
        the day after tomorrow, next <weekday>, <weekday> night, tomorrow afternoon, this week""",
    "morning": "tomorrow, tomorrow morning, <weekday>, <weekday> morning, tomorrow, next <weekday>",
    "weekday": "monday, tuesday, wednesday, thursday, friday, saturday, sunday",
    "when": "at {time:<clock>}, in {duration:<span>}, {date:tonight}, at {time:[sunset|sunrise]}",
    "maybe_when": "[|||||||<when>]",
    # Colours, scenes, media.
    "color": """
        red, blue, green, purple, orange, pink, yellow, white, warm white, cool white, turquoise,
        violet, teal, light blue, dark blue, deep red, lavender, magenta, gold, amber, mint green,
        soft pink, cyan, indigo, lime, peach, daylight white, royal blue, coral, soft white,
        dark green, pale yellow, crimson, sky blue, bright red, lilac, ivory, candlelight""",
    "scene": """
        movie, party, romantic, dinner, reading, bedtime, good night, good morning, away, vacation,
        holiday, relax, focus, gaming, night, cinema, movie night, guest, work, study, sleep,
        wake up, date night, cosy evening, sunset, cleaning, workout, breakfast, eco, yoga, quiet,
        welcome home, game night, chill, homework, birthday, meditation, story time, cooking""",
    "genre": """
        jazz, rock, classical music, hip hop, country, techno, blues, reggae, metal, pop, folk,
        soul, disco, opera, funk, punk, ambient music, lo fi beats, swing, salsa, r and b, house,
        bossa nova, piano music, eighties pop, nineties rock, christmas songs, lullabies, k pop,
        indie rock, gospel, film music, nursery rhymes, whale sounds, rain sounds, flamenco""",
    "artist": """
        queen, the beatles, adele, david bowie, nina simone, bach, mozart, johnny cash, abba,
        miles davis, radiohead, taylor swift, madonna, led zeppelin, bob dylan, beyonce, pink floyd,
        daft punk, stevie wonder, fleetwood mac, kate bush, coldplay, the rolling stones, chopin,
        elton john, amy winehouse, bob marley, dolly parton, metallica, ella fitzgerald, blur""",
    "song": """
        bohemian rhapsody, yesterday, hello, heroes, feeling good, ring of fire, dancing queen,
        purple rain, so what, creep, shake it off, like a prayer, stairway to heaven, let it be,
        halo, wish you were here, get lucky, superstition, dreams, running up that hill, yellow,
        paint it black, rocket man, rehab, three little birds, jolene, enter sandman, hey jude,
        moonlight sonata, the four seasons, happy birthday, here comes the sun, imagine""",
    "playlist": """
        workout, road trip, dinner party, sunday morning, summer hits, running, sleep, cooking,
        party, favourites, chill, study, rainy day, throwback, coffee house, kids, wedding, yoga,
        gym, discover weekly, morning coffee, spring cleaning, date night, old classics""",
    "station": """
        radio one, radio four, classic fm, jazz fm, the bbc world service, kiss fm, absolute radio,
        npr, radio paradise, capital fm, heart radio, the news channel, radio two, virgin radio""",
    "tune": """
        {media:<genre>}, {media:<artist>}, {media:<song>}, {media:<song>} by {media:<artist>},
        some {media:<genre>}, some {media:<artist>}, my {media:<playlist>} playlist,
        the {media:<playlist>} playlist, {media:<station>}, something by {media:<artist>},
        a bit of {media:<genre>}, the album {media:<song>}, the song {media:<song>}""",
    # Things that are talked about but not asked for.
    "thing": """
        light bulb, thermostat, smart lock, lamp, window blind, alarm clock, speaker, radiator,
        heat pump, curtain rail, door handle, ceiling fan, record player, thermometer, chandelier,
        egg timer, radio, padlock, garage door, weather station, lava lamp, boiler, door chain""",
    "person": """
        mum, dad, my sister, my boss, anna, my brother, grandma, the plumber, tom, my wife,
        the neighbours, my husband, uncle joe, the landlord, the kids, the electrician, maria""",
    "food": """
        pancakes, lasagne, rice, boiled eggs, banana bread, curry, roast chicken, risotto, pizza
        dough, lentil soup, apple pie, scrambled eggs, sourdough, tiramisu, pasta, hummus""",
    "item": """
        milk, eggs, bread, batteries, light bulbs, toilet paper, coffee, dog food, butter, apples,
        washing powder, bin bags, candles, tea, olive oil, cat litter, onions, toothpaste""",
    "fact": """
        france, mount everest, the moon, the sun, a blue whale, an elephant, the amazon, japan,
        the speed of light, gold, the eiffel tower, iceland, mars, a marathon, the great wall""",
}

INTENTS = {
    "lights_on": """
        [turn|switch|put|flip] on <a_light> <maybe_when>
        [turn|switch|put|flick|get] <a_light> on <maybe_when>
        [turn|switch|put] on <a_light>
        [turn|switch|put] <a_light> on
        light up the {room:<room>}
        [give|get] [me|us] [some|a bit of|a little] light <here>
        illuminate the {room:<room>}
        = {device:lights} on [|please] [<here>|]
        = {room:<room>} {device:<lights>} on [|please|now]
        = [i need|we need|i want|we could use|i could use] [some|more|a bit of] light <here>
        = i'd like <a_light> on <maybe_when>
        = it's [too|so|way too|really|awfully|pitch|getting|a bit too] dark <here>
        = i [can't|can hardly|can barely] see [a thing|anything|where i'm going|my hand] <here>
        = [can|could] [we|i] [have|get] [some light|<a_light> on] [<here>|please]
        = who turned <a_light> off [i'm still in here|turn it back on|put it back on]
        [make sure|see that] <a_light> [is|are] on [when i get home|<when>|when we arrive]
        leave <a_light> on [for the kids|{date:tonight}|for the guests|overnight|]
        = let there be light <here>
        = [i'm|we're] [coming|walking|going] into the {room:<room>} [put|get] the {device:light} on
        = the {room:<room>} is [pitch black|too dark|very gloomy|all dark]
        [start|activate|power on|fire up|enable] <a_light>
        = time to [put|switch|turn] <a_light> on
        = [i'm afraid of the dark|the kids are scared|i nearly tripped] [put|turn] on <a_light>
        have <a_light> [come on|go on|switched on] <when>
        = <a_light> should be on [now|please|by now|]
        = why [is it|am i sitting] [so|] [dark|in the dark] <here>
        = <a_light> please""",
    "lights_off": """
        [turn|switch|shut] off <a_light> <maybe_when>
        [turn|switch|put|get] <a_light> off <maybe_when>
        [turn|switch|shut] off <a_light>
        [turn|switch] <a_light> off
        [kill|cut|douse] <a_light>
        [turn|switch|put] out <a_light>
        [shut|power] down <a_light>
        = {device:lights} [off|out] [|please|now] [<here>|]
        = {room:<room>} {device:<lights>} off [|please|now]
        = [i don't need|nobody needs|we don't need|no one needs] <a_light> [anymore|any more|on]
        = [nobody|no one] is in the {room:<room>} [so|] [turn|switch] <a_light> off
        = i'd like <a_light> off <maybe_when>
        = [i|somebody|the kids|we|you] left <a_light> on [again|all night|turn it off|]
        = [i'm trying to sleep|i want to sleep] [so|] [turn|put] <a_light> [out|off]
        = [can|could] [we|you] have <a_light> off
        make [it|the {room:<indoors>}] [completely|totally|nice and|] dark
        = i [want|need|like] it [completely|pitch|totally|] dark <here>
        = we're done in the {room:<room>} [kill|turn off|switch off] the {device:lights}
        [make sure|see that|check that] <a_light> [is|are] [off|out] [when i leave|<when>|]
        [deactivate|disable|extinguish] <a_light>
        = no [more|] light [needed|] <here> [thanks|thank you|please]
        have <a_light> [go off|go out|switched off] <when>
        = [stop|quit] wasting [power|electricity] [turn|switch] off <a_light>
        = why [is|are] <a_light> still on [turn it off|switch it off|at this hour|]
        = time to [put|switch|turn] <a_light> [off|out]
        don't leave <a_light> on
        = [that's enough light|we're leaving the room] [turn|switch] <a_light> off""",
    "lights_brightness": """
        dim <a_light> [|a bit|a little|slightly|a lot|some more] <maybe_when>
        dim <a_light> to {number:<percent>} [percent|percent|]
        [brighten|lighten] <a_light> [|a bit|a little|up|slightly|by {number:<percent>} percent]
        [set|put|bring|turn|take] <a_light> to {number:<percent>} percent [brightness|]
        [set|change|adjust] the brightness [of|for|on] <a_light> to {number:<percent>} [percent|]
        [raise|increase|lower|reduce|decrease] the brightness [of <a_light>|in the {room:<room>}]
        turn <a_light> [up|down] [a bit|a little|a notch|to {number:half}|a touch|]
        make <a_light> [brighter|dimmer|less bright|softer|a bit brighter|a little dimmer|darker]
        = <a_light> [is|are] [too|way too|a bit too|so] bright [|for me|right now]
        = it's [too|way too|far too|a bit|a little too] bright <here>
        = [a bit|a little|slightly|much] [brighter|dimmer|less bright] <here> [please|]
        = <a_light> [isn't|aren't] bright enough [|for reading|to read by|to work with]
        = that {device:[light|lamp]} [hurts my eyes|is blinding me|is giving me a headache] \
            [dim it|]
        = [i'd like|i want|we want|give me] <a_light> at {number:<percent>} percent
        [bring|take|tone|knock] <a_light> [down|up] [a bit|by {number:<percent>} percent|a notch]
        = brightness [at|to] {number:<percent>} percent [<here>|]
        = [full|maximum|minimum|low|medium] brightness [<here>|for <a_light>|please]
        put <a_light> on [full|low|the lowest setting|maximum|the dimmest setting|full blast]
        = i [need|want] [brighter|softer|dimmer|stronger] light <here> [for reading|to read|]
        soften <a_light> [|a little|please]
        = {room:<room>} {device:<lights>} [to|at] {number:<percent>} percent
        [increase|decrease|raise|lower] <a_light> by {number:<percent>} percent
        = can we [have|get] [it|<a_light>] a [bit|little] [brighter|dimmer|softer]
        = my eyes hurt [make <a_light> dimmer|it's too bright <here>|can you dim <a_light>]
        = [half|{number:<percent>} percent] is enough for <a_light>
        turn the brightness [up|down] [<here>|on <a_light>]
        crank <a_light> up [to {number:<percent>} percent|all the way|to full]""",
    "lights_color": """
        [turn|make|change|set|switch] <a_light> {color:<color>} <maybe_when>
        [set|change|switch] <a_light> to {color:<color>}
        [set|change] the color of <a_light> to {color:<color>}
        [change|switch] the colour [of|for|on] <a_light> to {color:<color>}
        [paint|bathe|light] the {room:<room>} [in|] {color:<color>}
        = i [want|need|would like|fancy] {color:<color>} [light|lighting] <here>
        give [me|us] [some|a nice|a bit of] {color:<color>} [light|lighting|glow] <here>
        = {color:<color>} [light|lighting] <here> [please|]
        = {device:lights} {color:<color>} [please|now|]
        = {room:<room>} {device:<lights>} [to|in|] {color:<color>}
        = i'd like <a_light> [to be|in|] {color:<color>}
        = [can|could] [we|i] have {color:<color>} [light|lighting] <here>
        make it {color:<color>} <here>
        = <a_light> should be {color:<color>} [not {color:<color>}|]
        = how about {color:<color>} [for <a_light>|light <here>]
        go {color:<color>} [on|with] <a_light>
        [use|try|pick|choose] {color:<color>} for <a_light>
        turn <a_light> from {color:<color>} to {color:<color>}
        = [let's|we should] try <a_light> in {color:<color>}
        = i'm [tired|sick|bored] of {color:<color>} make <a_light> {color:<color>}
        put <a_light> on {color:<color>}
        [have|let] <a_light> [glow|shine|go] {color:<color>} [{date:tonight}|]
        fade <a_light> to {color:<color>}
        = my daughter wants <a_light> [in|to be] {color:<color>}
        = [can you do|is there] {color:<color>} [for|on] <a_light>
        = colour {color:<color>} for <a_light>""",
    "temperature_set": """
        [set|turn|put|change] the {device:<heater>} to {number:<degrees>} [degrees|] <maybe_when>
        [set|change|adjust] the temperature [in the {room:<indoors>}|] to {number:<degrees>} degrees
        [set|turn|put] the {room:<indoors>} {device:<heater>} to {number:<degrees>} [degrees|]
        turn [up|down] the {device:<heater>} [<in_room>|a bit|a little|]
        turn the {device:<heater>} [up|down] [a bit|by {number:<few>} degrees|a notch|]
        [turn|switch|put] the {device:<warmer>} [on|off] [<in_room>|]
        [turn|switch] [on|off] the {device:<cooler>} [<in_room>|]
        [raise|lower|increase|drop] the temperature by {number:<few>} degrees [<in_room>|]
        make it [warmer|cooler|a bit warmer|a little cooler|hotter|colder|{number:<degrees>}] \
            <inside>
        [heat|warm|cool] [the {room:<indoors>}|it|the house] [up|down|to {number:<degrees>} degrees]
        = i'm [freezing|cold|so cold|too hot|boiling|sweating|shivering|roasting] [<inside>|]
        = it's [too|so|way too|really|a bit|far too] [cold|hot|chilly|warm|stuffy] <inside>
        = my [feet|hands|toes|fingers] are [freezing|cold|like ice|ice cold]
        = the {room:<indoors>} is [too cold|too hot|freezing|boiling|like an oven|like a fridge]
        = {number:<degrees>} degrees [in the {room:<indoors>}|please|would be nice|]
        = {device:<heater>} [to|at] {number:<degrees>} [degrees|please|]
        = i'd like it [warmer|cooler|at {number:<degrees>} degrees|a bit warmer] <inside>
        = [can|could] [we|you] [have|get] it [a bit|a little|] [warmer|cooler] <inside>
        = we could use [some|a bit more|less] {device:<warmer>} <inside>
        [keep|hold] [it|the {room:<indoors>}|the house] at {number:<degrees>} degrees [overnight|]
        [start|stop|crank up|fire up] the {device:<heater>} [<in_room>|<when>|]
        = [the baby is|grandma is|we are all|the kids are] [cold|freezing|too hot|sweating]
        bring the {room:<indoors>} [up|down] to {number:<degrees>} [degrees|]
        = {number:<few>} degrees [warmer|cooler] [please|<inside>|]
        have the house at {number:<degrees>} degrees [by {time:<clock>}|when i get home]
        = why is it so [cold|hot] <inside> [turn the {device:<heater>} on|do something|]
        = it [feels|is] like [a sauna|the north pole|winter|an oven] <inside>""",
    "temperature_query": """
        = what's the temperature [in the {room:<indoors>}|inside|in here|{room:<level>}|]
        = what is the temperature [in the {room:<indoors>}|indoors|in the house|in {room:<room>}]
        = how [warm|cold|hot|cool] is it [in the {room:<indoors>}|in here|inside|in the house]
        = how [warm|cold|hot] is the {room:<indoors>} [right now|now|]
        = what's the {device:thermostat} [set to|at|on|reading|showing] [<in_room>|right now|]
        = what [is|did i set] the {device:<heater>} [set to|at|to] [<in_room>|]
        tell me [the temperature|how warm it is|how cold it is] [in the {room:<indoors>}|in here]
        = how many degrees is it [in the {room:<indoors>}|in here|inside|{room:upstairs}]
        = is it [warm|cold|hot|cool] in the {room:<indoors>} [right now|]
        = is it [above|below|over|under] {number:<degrees>} degrees [<in_room>|in here]
        = do you know how [warm|cold|hot] it is [in the {room:<indoors>}|in here|{room:downstairs}]
        check the temperature [in the {room:<indoors>}|in here|inside|of the {room:<indoors>}]
        = what temperature is [it in the {room:<indoors>}|the {room:<indoors>}|the house] [at|]
        = temperature [in the {room:<indoors>}|inside|in here|{room:upstairs}] [please|]
        = {room:<indoors>} temperature [please|right now|]
        = what's the current temperature [in the {room:<indoors>}|inside|{room:downstairs}]
        give me the [temperature|reading|indoor temperature] [for|in] the {room:<indoors>}
        = how's the temperature [in the {room:<indoors>}|in here|{room:upstairs}]
        = what does the {device:[thermostat|thermometer]} [say|read|show] [<in_room>|]
        = which room is the [warmest|coldest|hottest] [right now|at the moment|]
        = has the {room:<indoors>} [warmed up|cooled down|reached {number:<degrees>} degrees] yet
        = i [wonder|want to know] how [warm|cold] it is [in the {room:<indoors>}|inside]
        read [me|out] the temperature [in|of|for] the {room:<indoors>}
        = what are we at [in the {room:<indoors>}|temperature wise|degrees wise] [right now|]
        = is the {room:<indoors>} [warmer|colder] than the {room:<indoors>}
        = [how|what] [chilly|toasty|warm] [is it|are we] <in_room>
        = what target temperature [is set|do we have|did you set] [for|in] the {room:<indoors>}""",
    "music_play": """
        play <tune> [|in the {room:<room>}|on the {device:<speaker>}]
        play <tune>
        play <tune> [<in_room>|{room:<level>}|on the {room:<indoors>} {device:<speaker>}]
        put on <tune> [|in the {room:<room>}]
        put <tune> on
        = i [want|would like|wanna|need] to [hear|listen to] <tune>
        = i'd [like|love] to [hear|listen to] <tune> [<in_room>|]
        = [can|could] [we|i] [hear|have|listen to] <tune> [<in_room>|]
        start [playing|] <tune> [<in_room>|]
        start [the|my|our] {media:<playlist>} playlist [<in_room>|]
        [shuffle|queue up|throw on|stick on] <tune>
        play [something|music] [relaxing|happy|from the eighties|to dance to|nice|upbeat|calm|slow]
        play [some|a little|] music [<in_room>|{room:<level>}|on the {device:<speaker>}|]
        = [i'm|we're] in the mood for <tune>
        = i feel like [listening to|hearing|] <tune>
        tune [in|] to {media:<station>} [<in_room>|]
        [put|turn|switch] on {media:<station>} [<in_room>|]
        [turn|switch|put] on the [{device:radio}|music] [<in_room>|]
        = how about [some|a bit of|a little] {media:<genre>} [<in_room>|]
        = [it's too quiet|it's so quiet|it's boring] <here> [put some music on|play something|]
        = let's [hear|have|listen to] <tune>
        = let's dance [put on <tune>|play <tune>]
        give [me|us] <tune> [<in_room>|]
        resume [the music|my {media:<playlist>} playlist|playing|{media:<station>}]
        play the [new|latest|first|best] [song|album|hits] [by|from|of] {media:<artist>}
        = some {media:<genre>} [please|would be nice|for the guests] [<in_room>|]
        find [me|] <tune> and play it
        = do you have <tune> [play it|]""",
    "music_stop": """
        [stop|pause|halt|end|kill|cut] the [music|song|playback|playlist|radio show] [<in_room>|]
        [stop|pause|turn off|switch off|shut off] the music [<in_room>|{room:<level>}|]
        [turn|switch|shut] the music off [<in_room>|{room:<level>}|]
        [turn|switch|shut] off the {device:<speaker>} [<in_room>|]
        [turn|switch] the {device:<speaker>} off [<in_room>|]
        stop [playing|playing music|playing that|playing this song] [<in_room>|]
        stop [playing|] <tune>
        = [no more|enough|that's enough|enough of the] music [<in_room>|please|thanks|for today|]
        = music off [<in_room>|please|]
        = i [don't want to|can't] [hear|listen to] [music|this song|this] [anymore|any more|now]
        = i've [heard|had] enough [music|of this song|of this music|{media:<genre>}|\
            {media:<artist>}]
        [quit|cease] [playing|the music|this music|that song]
        = [i'm on the phone|i have a call|the baby is sleeping|someone is calling] pause the music
        = [i'm on the phone|i need to think|the baby is asleep] stop [playing|the music]
        = pause [it|that|the song|this song|what's playing] [please|for a second|for a moment|]
        pause the {device:<speaker>} [<in_room>|]
        pause [my|the] {media:<playlist>} playlist
        = i hate this song [stop it|turn it off|make it stop|]
        = make [it|the music|this noise|that song] stop [please|]
        = [this|that] music is [annoying|getting on my nerves|awful] [turn it off|stop it|]
        = can we [have|get] [some|a bit of] [silence|peace and quiet] [<here>|please|]
        put an end to [this|that] [song|music|playlist]
        stop the music [<when>|in the {room:<room>}]
        = i'd like [the music off|to stop the music|silence|to pause this] [<here>|now|]
        = that's it for the music [{date:today}|{date:tonight}|thanks|]
        = [the party is over|everyone has gone home] [stop|turn off] the music
        = who put [this|that|<tune>] on [stop it|turn it off]""",
    "volume_set": """
        [set|put|turn|change] the volume to {number:<level_of_ten>} [<in_room>|]
        [set|put|turn|bring] the volume [to|at] {number:<percent>} percent [<in_room>|]
        turn the volume [up|down] [a bit|a little|a lot|a notch|<in_room>|]
        turn [up|down] the [volume|music|sound] [<in_room>|a bit|a little|]
        turn [the music|it|the song|that] [up|down] [a bit|a little|a notch|<in_room>]
        turn [up|down] the {device:<speaker>} [<in_room>|a bit|]
        turn the {device:<speaker>} [up|down] [a bit|to {number:<level_of_ten>}|]
        [raise|lower|increase|decrease|reduce] the volume [by {number:<few>}|<in_room>|]
        [raise|lower|increase|decrease] the volume by {number:<percent>} percent
        make it [louder|quieter|a bit louder|a little quieter|much louder|less loud] [<in_room>|]
        make the [music|{device:<speaker>}] [louder|quieter|a bit louder|softer] [<in_room>|]
        = [louder|quieter|a bit louder|a little quieter|not so loud] [please|<in_room>|]
        = volume [up|down] [<in_room>|please|a bit|]
        = volume [to|at|] {number:<level_of_ten>} [please|<in_room>|]
        = volume [to|at|] {number:<percent>} percent [please|<in_room>|]
        = [the music|it|that|this song] is [too|way too|far too|so|a bit too] [loud|quiet] \
            [<in_room>|]
        = i [can't|can hardly|can barely] hear [the music|it|the song|anything|a word] [<in_room>|]
        = i can't hear myself [think|talk] [over the music|turn it down|]
        [mute|unmute] [the {device:<speaker>}|the music|the sound|it|] [<in_room>|]
        [crank|pump] [it|the volume|the music] up [to {number:<level_of_ten>}|<in_room>|]
        = [max|maximum|full|minimum|half|low] volume [<in_room>|please|]
        = [can|could] [we|you] have [it|the music] [a bit|a little|] [louder|quieter|softer]
        = [the neighbours are complaining|the baby is asleep|my ears hurt] turn it down [a bit|]
        = i love this song [turn it up|make it louder|louder]
        [keep|hold] the volume [at|below|under] {number:<percent>} [percent|] [{date:tonight}|]
        = the {device:<speaker>} is [too|way too|far too] [loud|quiet] [<in_room>|]
        bring [it|the sound|the music|the volume] [down|up] [a notch|a little|by {number:<few>}]""",
    "timer_set": """
        [set|start|make|create] a timer for {duration:<span>}
        [set|start|make|create] a {duration:<short>} timer
        [set|start|put on|run] a timer for {duration:<span>} for [the|my] <food>
        [set|start] a {duration:<short>} timer for [the|my] [<food>|tea|laundry|oven|eggs|dough]
        = timer [for|] {duration:<span>} [please|]
        = {duration:<short>} timer [please|for the <food>|]
        = {duration:<span>} on the timer [please|]
        count down [from|] {duration:<span>}
        start counting {duration:<span>}
        [tell|let] me know [when|once] {duration:<span>} [is up|are up|have passed|are over|is over]
        [tell|let] me [know|] in {duration:<span>}
        [beep|ping|buzz|ring|call out|shout] [me|] in {duration:<span>}
        = i need a timer for {duration:<span>} [<in_room>|]
        = i need a {duration:<short>} timer
        = i'd like a timer [for|of] {duration:<span>} [please|]
        = the <food> [needs|need|takes|has to cook] {duration:<span>} [set a timer|time it|]
        = the <food> [is|are] in the oven [give me|set a timer for|i need] {duration:<span>}
        time {duration:<span>} [for me|for the <food>|from now]
        put {duration:<span>} on the clock [for the <food>|]
        = [can|could] [i|we] [have|get] a [timer for {duration:<span>}|{duration:<short>} timer]
        [set|start] [another|a second|a new] timer for {duration:<span>}
        [set|start] the [kitchen|egg|pasta|pizza|laundry|homework|nap] timer for {duration:<span>}
        = kids get {duration:<span>} of [screen time|tv|games] start the timer
        = i'm [taking a nap|going for a break] [timer for|set a timer for] {duration:<span>}
        = {duration:<span>} [countdown|starting now|from now] [please|]
        warn me [after|in] {duration:<span>} so [the <food> doesn't burn|i don't forget the <food>]
        time me for {duration:<span>}""",
    "alarm_set": """
        [set|make|create|put] an alarm for {time:<wake>} [{date:<morning>}|]
        [set|create] an alarm [for|at] {time:<wake>} [on {date:<weekday>}|]
        [set|put] [my|the] alarm [for|to|at] {time:<wake>} [{date:<morning>}|]
        wake me [up|] at {time:<wake>} [{date:<morning>}|]
        wake [us|the kids|me] [up|] {date:<morning>} at {time:<wake>}
        get me [up|out of bed] [at|by|before] {time:<wake>} [{date:<morning>}|]
        = alarm [for|at|] {time:<wake>} [{date:<morning>}|please|]
        = {time:<wake>} alarm [{date:<morning>}|please|]
        = i need to [get up|be up|wake up] [at|by|before] {time:<wake>} [{date:<morning>}|]
        = i have to [get up|be up|wake up] {date:<morning>} at {time:<wake>}
        = i [want|would like] to be woken [up|] at {time:<wake>} [{date:<morning>}|]
        = my [flight|train|bus|shift|class] [leaves|starts|is] {date:<morning>} wake me at \
            {time:<wake>}
        make sure i'm [awake|up] [by|at] {time:<wake>} [{date:<morning>}|]
        don't let me sleep past {time:<wake>} [{date:<morning>}|]
        don't let me oversleep {date:<morning>} wake me at {time:<wake>}
        [set|make] a [daily|weekday|weekend|recurring|wake up] alarm [for|at] {time:<wake>}
        [set|put] an alarm every {date:[<weekday>|day|weekday|morning]} at {time:<wake>}
        wake me [up|] every {date:[<weekday>|day|weekday|morning]} at {time:<wake>}
        = [can|could] [i|we] [have|get] an alarm [at|for] {time:<wake>} [{date:<morning>}|]
        = i'd like an alarm [at|for] {time:<wake>} [on {date:<weekday>}|{date:<morning>}|]
        wake me [up|] with [{media:<genre>}|{media:<station>}] at {time:<wake>}
        [set|schedule] [my|an] [morning|early|second] alarm for {time:<wake>}
        ring the alarm at {time:<wake>} [{date:<morning>}|<in_room>]
        = early start {date:<morning>} [alarm at|wake me at] {time:<wake>}
        add an alarm [at|for] {time:<wake>} [{date:<morning>}|]
        [move|change] my alarm to {time:<wake>} [{date:<morning>}|]
        = school starts again {date:<morning>} so [an alarm|wake the kids] at {time:<wake>}""",
    "door_lock": """
        lock <a_door> <maybe_when>
        lock [up|] <a_door> [behind me|when i leave|once we're out|properly|]
        [secure|bolt|shut|close] <a_door>
        [shut|close] <a_door> [and lock it|behind me|]
        lock <a_door>
        = {device:<door>} [locked|closed|shut] please
        = lock [it all|everything|the house|the place|this place] up
        = i forgot to lock <a_door> [|can you do it|do it for me]
        = did i lock <a_door> [if not lock it|lock it please|then lock it]
        = i [think i|] left <a_door> [open|unlocked] [lock it|can you close it|close it|]
        = <a_door> [isn't|is not] [locked|shut] [lock it|fix that|]
        make sure <a_door> [is|are] [locked|shut|closed] [{date:tonight}|before bed|<when>|]
        = i [want|need] <a_door> [locked|shut] [now|<when>|]
        = [we're|i'm] [going out|leaving|off] [so|] [lock|lock up] <a_door>
        [engage|activate|close] the {device:[lock|deadbolt|smart lock]} [on|of] <a_door>
        put the {device:[lock|bolt|deadbolt]} on
        = i'd like <a_door> locked [please|<when>|at night]
        don't let anyone in [lock <a_door>|through <a_door>]
        = [everyone is|we're all|the kids are] [in|home|inside] [lock <a_door>|you can lock \
            <a_door>]
        keep <a_door> locked [{date:tonight}|while i'm away|]
        = <a_door> should be [locked|closed] [now|at night|by {time:<clock>}]
        [double lock|double check and lock|relock] <a_door>
        = there's a [draught|stranger|dog] [outside|coming in] close <a_door>
        = can <a_door> be locked [from here|please|now]
        = [someone|he|the postman] left <a_door> open [again|shut it|close it please]
        = lock [please|up] <a_door>
        = bedtime lock <a_door>""",
    "door_unlock": """
        unlock <a_door> <maybe_when>
        unlock <a_door> [for <person>|for the delivery|for the cleaner|i'm home|]
        open <a_door> [for <person>|for the delivery|for me|]
        open [up|] <a_door>
        unbolt <a_door>
        unlock <a_door>
        let [<person>|them|him|her|me|the dog|the guests|us|the cat] in [through <a_door>|]
        = [<person> is|the guests are|someone is|the courier is] at <a_door> [let them in|open it]
        = i'm [at|in front of|outside] <a_door> [let me in|open it|unlock it]
        = i'm locked out [open <a_door>|let me in|can you unlock <a_door>]
        = {device:<door>} [open|unlocked] please
        = i'd like <a_door> [unlocked|open] [please|<when>|]
        = my hands are full [open|unlock] <a_door>
        [release|undo|disengage|open] the {device:[lock|bolt|deadbolt|smart lock]} [on <a_door>|]
        buzz [<person>|them|him|her|the postman] in
        = i forgot my keys [open|unlock] <a_door>
        = i [can't find my key|lost my keys] [open|unlock] <a_door>
        = [can|could] <person> [get|come] in [through <a_door>|unlock <a_door>]
        make sure <a_door> is [unlocked|open] [when <person> arrives|<when>]
        = i need to get [in|out] [through|open] <a_door>
        = i [want|need] <a_door> [unlocked|open] [now|<when>|]
        = [why is|who locked] <a_door> [locked|] [open it|unlock it]
        leave <a_door> [unlocked|open] for <person>
        take the {device:[lock|bolt|deadbolt]} off [<a_door>|]
        = we're [back|home] [open|unlock] <a_door>
        = i'm [driving up|pulling in|almost home] open the {device:[garage door|gate|front gate]}
        = [pizza|the parcel|the taxi] is here [open|unlock] <a_door>""",
    "blinds_open": """
        open <a_blind> <maybe_when>
        [raise|lift|pull up|roll up|draw up] <a_blind>
        [pull|roll|put|bring] <a_blind> up [halfway|a bit|all the way|<when>|]
        open <a_blind>
        [pull|draw] [back|open] <a_blind>
        [pull|slide|draw] <a_blind> [open|apart|aside]
        open <a_blind> [halfway|a bit|all the way|fully|to {number:<percent>} percent|a crack]
        let [some|the|a bit of|in some] [daylight|sunlight|sun|morning light] in [<in_room>|]
        let the [sun|daylight|sunshine] into the {room:<indoors>}
        = {device:<blind>} [up|open] [please|<in_room>|]
        = i'd like <a_blind> [open|up] [please|<when>|]
        = i [want|need] [some|more] [daylight|sunlight|sun] [<in_room>|in here|]
        = i want to [see|look at] the [sunrise|garden|view|snow|street] [open <a_blind>|]
        = it's [such a nice day|sunny out|morning|daytime] open <a_blind>
        = can we have <a_blind> [open|up] [|a bit]
        = [i'm awake|i'm up|good morning] [open|raise] <a_blind>
        = the plants need [sun|daylight|some sun] [<in_room>|open <a_blind>]
        [move|set] <a_blind> to {number:<percent>} percent open
        have <a_blind> [open|go up|opened|raised] <when>
        = why are <a_blind> [still|] [closed|down|shut] [open them|]
        = time to [open|raise] <a_blind>
        = <a_blind> should be [open|up] [now|by {time:<clock>}|]
        make sure <a_blind> [are|is] [open|up] [when i wake up|<when>|]
        tilt <a_blind> open [a bit|]
        [roll|wind] up <a_blind> [halfway|please|<when>|]
        = no need to sit in the dark all day [open|pull up] <a_blind>
        = show me [the view|what's outside|the sky] [open <a_blind>|raise <a_blind>]""",
    "blinds_close": """
        close <a_blind> <maybe_when>
        [lower|shut|drop|pull down|let down|roll down|draw] <a_blind>
        [pull|roll|put|bring|let] <a_blind> down [halfway|a bit|all the way|<when>|]
        close <a_blind>
        [pull|draw] <a_blind> [shut|closed|together]
        [close|lower] <a_blind> [halfway|a bit|all the way|to {number:<percent>} percent]
        = {device:<blind>} [down|closed|shut] [please|<in_room>|]
        = i'd like <a_blind> [closed|down|shut] [please|<when>|]
        = the sun is [in my eyes|blinding me|too strong|shining on my screen] [<in_room>|]
        = there's [a glare|sun|too much glare] on [my screen|the tv|my monitor] [close <a_blind>|]
        = the neighbours can [see in|see me|see everything] [close <a_blind>|]
        = i [want|need] some privacy [<in_room>|close <a_blind>|]
        = people are [looking|staring] in [close|shut] <a_blind>
        = can we have <a_blind> [closed|down|shut] [|a bit]
        keep the [sun|sunlight|daylight|heat of the sun] out [of the {room:<indoors>}|]
        block [out|] the [sun|sunlight|daylight] [<in_room>|]
        [move|set] <a_blind> to {number:<percent>} percent closed
        have <a_blind> [close|go down|closed|lowered] <when>
        = why are <a_blind> [still|] [open|up] [close them|]
        = time to [close|lower|shut] <a_blind>
        = <a_blind> should be [closed|down|shut] [now|by {time:<clock>}|]
        make sure <a_blind> [are|is] [closed|down|shut] [when it gets dark|<when>|]
        = i'm getting [changed|dressed|undressed] close <a_blind>
        = too much sun [<in_room>|in here] [close <a_blind>|]
        = the baby [is napping|needs a nap] [close|lower|shut] <a_blind>
        = we want to watch a film [close|lower|draw] <a_blind>
        tilt <a_blind> [shut|closed] [a bit|]""",
    "weather_query": """
        = what's the weather [like|] [in {location:<city>}|outside|] [{date:<day>}|]
        = what's the weather [like|going to be] [{date:<day>}|in {location:<city>}]
        = how's the weather [{date:<day>}|in {location:<city>}|in {location:<city>} {date:<day>}]
        = will it [rain|snow|be sunny|be windy|be cold|be warm] [{date:<day>}|in {location:<city>}]
        = is it going to [rain|snow|storm|clear up|freeze] [{date:<day>}|in {location:<city>}|]
        = is it [raining|snowing|cold|windy|sunny|hot] [outside|out|in {location:<city>}|out there]
        = do i need [an umbrella|a coat|a jacket|sunscreen|gloves|a hat] [{date:<day>}|outside|]
        = should i [take an umbrella|wear a coat|bring a jacket] [{date:<day>}|]
        tell me the [weather|forecast] [for {date:<day>}|in {location:<city>}|for {location:<city>}]
        give me the [weather|forecast|weather report] [for {date:<day>}|for {location:<city>}]
        = what's the forecast [for {date:<day>}|for {location:<city>}|for {location:<city>} \
            {date:<day>}]
        = weather [forecast|] [for|] [{date:<day>}|in {location:<city>}]
        = how [cold|hot|warm|windy] [is it|will it be|will it get] [outside|in \
            {location:<city>}|{date:<day>}]
        = what's the temperature [outside|in {location:<city>}|out there|going to be {date:<day>}]
        = what's the [high|low] [for|] {date:<day>}
        = what are the chances of [rain|snow|sun|a storm|fog] [{date:<day>}|in {location:<city>}]
        = can i [hang the washing out|ride my bike|have a barbecue|go running] {date:<day>} or \
            will it rain
        = when will [it stop raining|the rain stop|the sun come out|it get warmer|the storm pass]
        = when does the sun [set|rise|go down|come up] [{date:<day>}|in {location:<city>}|]
        = is there [rain|snow|a storm|frost|fog] [coming|expected|forecast] [{date:<day>}|]
        = does it look like [rain|snow|sun] [{date:<day>}|in {location:<city>}]
        = i'm [flying|going|driving] to {location:<city>} {date:<day>} what's the weather \
            [there|like]
        = will the [sun shine|rain hold off|snow stay|wind die down] [{date:<day>}|]
        = is [{date:<day>}|{date:<weekday>}] going to be [nice|sunny|wet|dry|hot|cold]
        = what should i wear {date:<day>} [is it cold|will it rain|is it warm out]
        = any [rain|snow|sun|frost] [{date:<day>}|in {location:<city>} {date:<day>}]
        check the [weather|forecast] [in {location:<city>}|for {date:<day>}|outside]""",
    "scene_activate": """
        [activate|start|turn on|set|enable|launch|run|switch on] {scene:<scene>} mode [<in_room>|]
        [activate|start|turn on|set|run|trigger] the {scene:<scene>} scene [<in_room>|]
        [switch|go|change] to {scene:<scene>} mode [<in_room>|]
        [switch|change] to the {scene:<scene>} scene [<in_room>|]
        = {scene:<scene>} mode [please|now|on|<in_room>|]
        = {scene:<scene>} scene [please|now|<in_room>|]
        = {scene:<scene>} mode [please|]
        = {scene:<scene>} scene [please|]
        = i [want|need|would like] [the|] {scene:<scene>} [mode|scene] [<in_room>|]
        put the [house|home|{room:<indoors>}] in {scene:<scene>} mode
        put the [house|home|{room:<indoors>}] into {scene:<scene>} mode <maybe_when>
        set the {room:<indoors>} to {scene:<scene>} [mode|]
        set [the house|everything|it] [up|] for {scene:<scene>} [mode|]
        [get|prepare] the [house|home|{room:<indoors>}] [ready|] for {scene:<scene>}
        = it's {scene:<scene>} time [<in_room>|]
        = time for {scene:<scene>} [mode|scene|]
        = [we're leaving|i'm leaving|we're off|we're going out] [turn on|start|set] \
            {scene:away} mode
        = [we're|i'm] [going to bed|off to bed] [start|run|activate] {scene:[good night|bedtime|\
            sleep]}
        = {scene:good [night|morning]} [everyone|house|hub|home|all|my dear] [|now]
        = [can|could] [we|you] [do|have|use] the {scene:<scene>} scene [<in_room>|]
        = [guests|my friends|the neighbours] are coming [start|use|set] {scene:<scene>} mode
        = let's [do|have|go with|use] [the|] {scene:<scene>} [mode|scene]
        [do|load|apply|use] [my|the|our] {scene:<scene>} [scene|setting|routine]
        start [my|the|our] {scene:<scene>} routine
        = [the film is starting|the movie is about to start] {scene:[movie|cinema]} [mode|scene]
        = create the {scene:<scene>} atmosphere [<in_room>|]
        = i'm [home|back] [start|activate|run] {scene:[welcome home|relax|chill]} [mode|]
        turn {scene:<scene>} mode on <maybe_when>""",
    "device_status": """
        = is <a_light> [on|off|still on|switched on|turned off]
        = are <a_light> [on|off|still on]
        = is <a_door> [locked|open|closed|unlocked|shut|still open]
        = is <a_door> [locked|open|closed|unlocked]
        = are <a_blind> [open|closed|up|down|still open]
        = is the {device:<gadget>} [on|off|running|still on|still running|finished|done]
        = did [i|we|somebody|<person>] [lock|close|shut] <a_door> [last night|this morning|]
        = did [i|we|somebody|<person>] [turn|switch] off [<a_light>|the {device:<gadget>}]
        = did [i|we|somebody|<person>] leave [<a_light>|the {device:<gadget>}] on
        = have [i|we|you] [locked|closed] <a_door> [already|]
        check [if|whether] <a_door> is [locked|open|closed|shut]
        check [if|whether] [<a_light>|the {device:<gadget>}] is [on|off|still on]
        tell me [if|whether] [<a_light>|the {device:<gadget>}] is [on|off|still on]
        tell me [if|whether] <a_door> is [locked|open|closed]
        = what's the [status|state] of [<a_light>|<a_door>|<a_blind>|the {device:<gadget>}]
        = which [{device:lights}|{device:lamps}] are [on|off|still on] [<here>|right now|]
        = which {device:[doors|windows|blinds]} are [open|closed|unlocked|locked]
        = are [any|all] [of|] the {device:[lights|lamps|doors|blinds|windows]} [on|closed|\
            locked|open]
        = do you know if [<a_light>|the {device:<gadget>}] is [on|off]
        = do you know if <a_door> is [locked|open|shut]
        = i [wonder|can't remember|don't know] if i [locked|closed] <a_door>
        = i [wonder|can't remember|don't know] if i [turned|switched] off the {device:<gadget>}
        = is [anything|any {device:light}|something] [still|] on in the {room:<room>}
        = how long has [<a_light>|the {device:<gadget>}] been on
        = has the {device:<gadget>} [finished|stopped|been left on|started] [yet|]
        = is the {device:<gadget>} in the {room:<room>} [on|off|running]
        = am i right that <a_door> is [locked|closed|open]
        = how much [battery|charge] is left in the {device:[smart lock|camera|doorbell|remote]}
        = is the {device:<heater>} [on|off|running|working] [<in_room>|]""",
    "out_of_scope": """
        = who [invented|designed|came up with|built] the [first|] <thing>
        = when was the <thing> invented
        = how much [does|would] a [new|good|smart|decent|] <thing> cost
        = how do i [clean|fix|install|repair|choose|get rid of|wire] [a|my|an old] <thing>
        = where can i [buy|find|get|recycle] a [cheap|good|second hand|new|] <thing>
        = what is the best <thing> [on the market|for a small flat|for the money|]
        = i [bought|broke|sold|ordered|saw|returned] a [new|beautiful|used|] <thing> [yesterday|\
            last week|]
        = my [neighbour|sister|friend|colleague|dad] [has|bought|wants] a [smart|new|huge|] <thing>
        = how does a <thing> [work|actually work]
        = [what's|what is] the difference between a <thing> and a <thing>
        = the [old|new|broken|] <thing> [cost me a fortune|looks ugly|was a present|is still in \
            the box]
        order [a new <thing>|some <item>|more <item>|<item> and <item>]
        add <item> to [the|my] [shopping list|grocery list|basket]
        add <item> and <item> to the list
        put <item> on the shopping list
        = what's on my [shopping list|calendar|to do list] [today|for tomorrow|]
        call [<person>|a taxi|the doctor|the office|an ambulance]
        [text|message|email] <person> that [i'm late|dinner is ready|i'm on my way|we're home]
        send <person> a [message|picture|birthday card|reminder]
        remind me to [call <person>|buy <item>|water the plants|take the bins out] [tomorrow|on \
            friday]
        = how do [i|you] [make|cook|freeze|reheat] <food>
        = how many calories are in <food>
        = what goes [well|best] with <food>
        give me a recipe for <food>
        = [how far away is|how big is|how old is|how heavy is] <fact>
        = what is the [capital of|population of|history of|meaning of] <fact>
        = tell me [a joke|a story|a riddle|something funny|a fun fact|about <fact>]
        = what [do you think|can you tell me] about [<fact>|<thing>s|<food>]
        = how do you say [lamp|door|music|curtain|weather|window] in [french|spanish|german|italian]
        = how do you spell [thermostat|temperature|curtain|playlist|wednesday|chandelier]
        = what [time is it|day is it|year is it] [in <city>|now|]
        = who [sang|wrote|recorded|produced] <song>
        = when was <song> [released|written|recorded]
        = how old is [the singer of <song>|<artist>]
        = is <artist> [still alive|on tour|coming to town|married]
        = [i saw|we saw|my dad met] <artist> [live|in concert|once] [last year|in the nineties|]
        = what's the name of this song
        = [skip|like|repeat|download] this song
        [skip|rewind|repeat|go back to] [this|the last|the next] [song|track]
        [cancel|delete|remove|snooze|turn off] [my|the|every] [alarm|alarms|timer|timers|reminder]
        = how [much time|long] is left on [the|my] timer
        = what time is my alarm set for
        [start|stop|empty|send out|call back] the [vacuum|robot vacuum|hoover|vacuum cleaner|mower]
        [start|run|empty|unload] the [dishwasher|washing machine|dryer|coffee machine]
        make [me|us] [a coffee|a cup of tea|a sandwich|breakfast|an espresso]
        [feed|walk|wash] the [dog|cat|fish|hamster]
        [turn|switch] [on|off] the [tv|oven|kettle|computer|printer|camera|game console]
        [open|close|clean] the [fridge|oven|window|windows|dishwasher|chimney|app|freezer]
        [change|switch] the [channel|input|language|wifi password|bed sheets|water filter]
        = [the|my] [wifi|internet|phone|printer|laptop] is [down|slow|broken|not working]
        = <person> [never remembers to|used to|never wants to] [lock the door|turn off the \
            lights|open the blinds]
        = <person> [told me|said|thinks] [the lights look nice|it's cold in canada|music is life]
        = yesterday [the door was stuck|i painted the blinds|we listened to <artist>|the power \
            went out]
        = i [love|hate|miss|prefer] [led lights|dark chocolate|loud people|warm summers|old doors]
        = i was [listening to <artist>|sitting in the dark|locked out|freezing] [last night|on \
            monday]
        = why is [the sky blue|grass green|snow white|the sea salty|red the color of love]
        = what [color|colour] [is|was] [the sky on mars|a polar bear|a giraffe's tongue|\
            napoleon's horse]
        = what's your favourite [song|color|film|room|season|band|joke|food]
        = do you [like|know|understand] [music|the dark|winter|humans|<artist>|<food>]
        = [are you|do you feel] [a robot|alive|happy|listening|tired|human|cold]
        = [thank you|thanks a lot|never mind|forget it|okay|no|yes|nothing|stop listening|\
            cheers] [hub|then|]
        = [what can you do|who are you|who made you|where do you live|how old are you|what's \
            your name]
        = [i'm bored|i'm hungry|i'm tired|i'm sad|i'm late|i'm lost|i'm thirsty] [today|again|]
        = what's the [score|traffic|news|exchange rate|stock price] [today|right now|]
        = who won the [match|election|world cup|race|lottery] [last night|last year|yesterday|]
        [book|reserve|find] [a table for two|a flight to <city>|a hotel in <city>|a dentist]
        = how long is the flight to <city>
        = how [do i|can i] get to <city> [by train|by car|]
        = what is [the boiling point of water|room temperature|absolute zero|a lumen|a kelvin|a \
            decibel]
        = [is it|isn't it] [true that|possible that] [cats see in the dark|doors were once keys]
        = what's [twenty|fifteen|twelve|nine] [times|plus|minus|divided by] [seven|three|eight]
        = convert [twenty|seventy|fifty] [degrees to fahrenheit|percent to a fraction|euros to \
            pounds]
        = how many [lumens|watts|volts] does a [bedroom|desk|street|car] [lamp|light] [need|have]
        = does [blue light|loud music|dry heat|a cold room] [hurt your eyes|keep you awake|make \
            you ill]
        = the [traffic light|light at the end of the tunnel|car door|fridge light] [is red|is \
            broken]
        = [the door to success|the window of opportunity|the heat of the moment] is [a phrase|a \
            cliche]
        = should i [paint|renovate|tidy|insulate|decorate] the <room> [this year|or the <room>|]
        = how much [would it cost|does it cost] to [insulate|rewire|furnish|repaint] the <room>
        = the <room> [needs a new carpet|looks lovely|smells funny|is a mess|is my favourite]
        = <person> is [asleep|waiting|cleaning|working] in the <room>
        = where [is|did i put] my [phone|keys|wallet|glasses|remote] [i think it's in the <room>|]
        = i [lost|found|dropped] my keys in the <room>
        = what [film|show|movie] should [i|we] watch [tonight|this weekend|]
        = how [do|did] people [light their homes|keep warm|wake up] before [electricity|clocks]
        = what [was|were] the weather like [last year|when i was born|in the ice age|in 1995]
        = do you remember [the storm|that summer|the winter] [of last year|when we met <person>]
        = what causes [thunder|rain|fog|a rainbow|hurricanes|hail|the northern lights]
        = i [dreamed|read|heard] [about|of] [a storm|a house without doors|a lamp that talks|\
            <artist>]
        = a [timer|alarm|lock|lamp] [is a useful thing|would make a nice gift|is what he asked for]
        = my [alarm|timer] [didn't ring this morning|was far too early today|scared the cat]
        = how do i [change the time on my watch|reset my password|turn off my phone|lock my screen]
        = [lock|unlock|dim|mute] my [phone|laptop|screen|car|bike|tablet]
        = [he|she|they] [set the mood|turned up late|turned down the job|switched schools|shut \
            the shop]
        = turn [left|right] at the [next light|gate|corner|church]
        = [play dead|play fair|play chess with me|let's play a game|play hide and seek]
        = that [film|book|concert|party|meeting] was too [long|loud|dark|quiet|hot]
        = [what does|what's the meaning of] a [flickering light|red moon|blinking lamp] [mean|]""",
}


def alternatives(block: str, separators: str) -> list[str]:
    """The non-empty parts of a block of patterns."""
    return [part.strip() for part in re.split(separators, block) if part.strip()]


PARTS = {name: alternatives(block, r"[,\n]") for name, block in RULES.items()}
PATTERNS = {intent: alternatives(block, r"\n") for intent, block in INTENTS.items()}
CHOICE = re.compile(r"\[([^\[\]]*)\]")
RULE = re.compile(r"<(\w+)>")
PIECE = re.compile(r"\{(\w+):([^{}]*)\}|([^\s{}]+)")


def pick(options: list[str], rng: random.Random) -> str:
    """One option; random() is the only generator Python promises to keep unchanged."""
    return options[int(rng.random() * len(options))]


def expand(pattern: str, rng: random.Random) -> str:
    """The pattern with all choices made and all rules replaced; slot marks remain."""
    while True:
        step = CHOICE.sub(lambda m: pick(m[1].split("|"), rng), pattern)
        step = RULE.sub(lambda m: pick(PARTS[m[1]], rng), step)
        if step == pattern:
            return step
        pattern = step


def tag(marked: str) -> list[Token]:
    """(token, IOB2 tag) pairs of a text with slot marks."""
    pairs: list[Token] = []
    for slot, value, word in PIECE.findall(marked):
        if slot:
            tokens = value.split()
            pairs += zip(tokens, [f"B-{slot}"] + [f"I-{slot}"] * (len(tokens) - 1), strict=True)
        else:
            pairs.append((word, "O"))
    return pairs


def utter(pattern: str, rng: random.Random) -> list[Token]:
    """One utterance of a pattern, with polite words and hesitations now and then."""
    if pattern.startswith("="):
        pattern = pattern[1:]
        if rng.random() < 0.12:
            pattern = f"<opener> {pattern}"
    else:
        if rng.random() < 0.45:
            pattern = f"<before> {pattern}"
        if rng.random() < 0.2:
            pattern = f"{pattern} <after>"
    pairs = tag(expand(pattern, rng))
    if rng.random() < HESITATION:
        gaps = [i for i, (_, label) in enumerate(pairs) if not label.startswith("I-")]
        at = gaps[int(rng.random() * len(gaps))]
        pairs.insert(at, (pick(["um", "uh", "er", "well", "erm"], rng), "O"))
    return pairs


def examples(seed: int = SEED) -> Iterator[dict[str, object]]:
    """The training set; no text occurs twice."""
    rng = random.Random(seed)
    seen: set[str] = set()
    for intent, patterns in PATTERNS.items():
        wanted = OUT_OF_SCOPE if intent == "out_of_scope" else PER_INTENT
        made = turn = 0
        while made < wanted:
            pairs = utter(patterns[turn % len(patterns)], rng)
            turn += 1
            text = " ".join(token for token, _ in pairs)
            if text in seen:
                continue
            seen.add(text)
            made += 1
            yield {
                "text": text,
                "intent": intent,
                "tokens": [token for token, _ in pairs],
                "tags": [label for _, label in pairs],
            }


def render(seed: int = SEED) -> str:
    """The training set as JSON lines."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in examples(seed))


def main() -> None:
    path = Path(__file__).resolve().parent / "data" / "train.jsonl"
    path.write_text(render(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
