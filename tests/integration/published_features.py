"""Requests that people publish for a feature of the data: a point, a path or an area of whole fields."""

from __future__ import annotations

from typing import Any, NamedTuple

from published_requests import CLIMATE_DT, EFAS, EXTREMES_DT, ICON, NEXTGEMS, ON_DEMAND

Keys = dict[str, Any]

CLIMATE = {**CLIMATE_DT, "experiment": "ssp3-7.0", "model": "ifs-nemo", "date": "20400102", "time": "0000"}
CLIMATE |= {"param": "167/165"}
CLIMATE_LEVELS = {**CLIMATE, "levtype": "pl", "param": "131/132"}
MONTHLY = {**CLIMATE_DT, "stream": "clmn", "year": "2040", "month": "1", "param": "167/165"}
EXTREMES = {**EXTREMES_DT, "step": "1", "param": "165/167"}
LOCAL = {**ON_DEMAND, "date": "20250926", "time": "0000", "georef": "gcgkrb", "step": "1", "param": "167"}
IFS = {"class": "od", "stream": "enfo", "type": "pf", "expver": "0001", "domain": "g", "number": "1"}
IFS |= {"date": "20240930", "time": "0000", "step": "0", "levtype": "sfc", "param": "164/167/169"}
FORECAST = {**IFS, "stream": "oper", "type": "fc"}
del FORECAST["number"]
IFS_LEVELS = {**IFS, "levtype": "pl", "param": "203/133"}
FLOODS = {**EFAS, "stream": "efas", "type": "fc", "date": "20240101", "time": "0000", "step": "6"}
CLIMATOLOGY = {**EFAS, "stream": "efcl", "type": "sfo", "date": "20230101", "time": "0600", "step": "6"}
CONTROL = {**ICON, "type": "cf", "param": "500011", "step": 0}
MEMBER = {**CONTROL, "type": "pf", "number": 1}

LAT_LON = ["latitude", "longitude"]
LON_LAT = ["longitude", "latitude"]
LEVELS = [*LAT_LON, "levelist"]
STEPS = [*LAT_LON, "step"]
SQUARE = [[40.0, -105.0], [40.0, -104.0], [41.0, -104.0], [41.0, -105.0], [40.0, -105.0]]
SQUARE_LON_LAT = [[longitude, latitude] for latitude, longitude in SQUARE]
TRIANGLE = [[-1, 1], [-1, 0], [0, 1], [-1, 1]]
LINE = [[-1, -1], [0, 0], [1, 1]]
LINE_3D = [[-1, -1, 1], [0, 0, 2], [1, 1, 10]]

BOX = {"type": "boundingbox", "points": [[53.55, 2.76], [50.66, 7.86]]}
POLYGON = {"type": "polygon", "shape": SQUARE}
POLYGONS = {"type": "polygon", "shape": [SQUARE, TRIANGLE]}
CIRCLE = {"type": "circle", "center": [[0, 0]], "radius": 1}
POSITION = {"type": "position", "points": [[-9.1, 38.78], [51.5, 0.1]]}
SERIES = {"type": "timeseries", "points": [[38, -9.5]]}
OVER_DATES = {**SERIES, "time_axis": "date"}
DATES_OF_POINTS = {**OVER_DATES, "points": [[38, -9.5], [1, 1]]}
OVER_MONTHS = {**SERIES, "time_axis": "month"}
OVER_STEPS = {**SERIES, "time_axis": "step"}
PROFILE = {"type": "verticalprofile", "points": [[38.9, -9.1]]}
PATH = {"type": "trajectory", "points": LINE, "axes": LAT_LON, "inflation": 0.1, "inflate": "round"}
PATH_OF_LINE = {"type": "trajectory", "points": LINE, "axes": LAT_LON, "inflation": [0.05, 0.05]}
FRAME = {"type": "frame", "outer_box": [[0, 0], [0.2, 0.2]], "inner_box": [[0.1, 0.1], [0.15, 0.15]]}


def ask(base: Keys, feature: Keys, *left_out: str, **change: Any) -> Keys:
    """A request for a feature of what a base describes, with changes and without the keys left out."""
    return {key: value for key, value in {**base, **change}.items() if key not in left_out} | {
        "feature": feature
    }


#: By the kind of data, one of each form that polytope-mars 0.3 takes: other keys, or other spellings.
FORMS: dict[str, dict[str, Keys]] = {
    # destination-earth-digital-twins/polytope-examples and ecmwf/polytope-mars
    "climate-dt": {
        "box": ask(CLIMATE, BOX),
        "box on some days": ask(CLIMATE, BOX, date="20210101/20210102/20210103"),
        "box, longitude first": ask(CLIMATE, {**BOX, "axes": LON_LAT}),
        "box at levels": ask(CLIMATE_LEVELS, BOX, levelist="500/850"),
        "box on some days at times": ask(
            CLIMATE, BOX, date="20200101/20200102", time="0000/1200", param="167"
        ),
        "polygon": ask(CLIMATE, POLYGON),
        "polygon with its axes": ask(CLIMATE, {**POLYGON, "axes": LAT_LON}),
        "polygon at times": ask(CLIMATE, POLYGON, time="0000/0100/0200"),
        "polygon on some days at times": ask(
            CLIMATE, POLYGON, date="20200101/20200102", time="0000/0600/1200", param="167"
        ),
        "polygons": ask(CLIMATE, POLYGONS),
        "series of points": ask(CLIMATE, DATES_OF_POINTS, date="20200101/to/20200102", time="0000/to/2300"),
        "series of two days": ask(CLIMATE, {**OVER_DATES, "axes": LAT_LON}, date="20210101/20210110"),
        "series of hours": ask(
            CLIMATE, OVER_DATES, date="20400101/to/20410101", time="0000/to/2300/by/0100", param="167"
        ),
        "series of weeks": ask(CLIMATE, OVER_DATES, date="20210101/to/20210110/by/7", time="0000/1200"),
        "series of days": ask(
            CLIMATE, {**OVER_DATES, "axes": LAT_LON}, date="20210101/to/20210110", time="0000/to/2300"
        ),
        "series with nudging": ask(
            CLIMATE, OVER_DATES, activity="story-nudging", experiment="cont", model="ifs-fesom"
        ),
        "series of several names": ask(
            CLIMATE,
            OVER_DATES,
            date="20210101/to/20210105",
            time="0000/to/2300/by/0100",
            param="tcwv/sd/avg_tsrwe",
        ),
        "series of points and levels": ask(CLIMATE_LEVELS, DATES_OF_POINTS, levelist="1/100/1000"),
        "profile": ask(CLIMATE_LEVELS, PROFILE, levelist="1/to/1000"),
        "profile with its range": ask(
            CLIMATE_LEVELS, {**PROFILE, "range": {"start": 0, "end": 1000}, "axes": LEVELS}
        ),
        "path": ask(CLIMATE, PATH),
        "path, longitude first": ask(CLIMATE, {**PATH, "axes": LON_LAT}),
        "path with two inflations": ask(CLIMATE, {**PATH, "inflation": [0.1, 0.2]}),
        "path through levels": ask(CLIMATE_LEVELS, {**PATH, "points": LINE_3D, "axes": LEVELS}),
    },
    "climate-dt-monthly": {
        "box": ask(MONTHLY, BOX),
        "box of months": ask(MONTHLY, BOX, month="1/2/3", param="167"),
        "polygon": ask(MONTHLY, POLYGON, month="1/to/3"),
        "series": ask(MONTHLY, OVER_MONTHS, month="1/to/12"),
        "series of listed months": ask(
            MONTHLY, OVER_MONTHS, month="1/2/3/4/5/6/7/8/9/10/11/12", param="avg_2t"
        ),
        "series of some months": ask(MONTHLY, {**OVER_MONTHS, "axes": LON_LAT}, month="1/to/12/by/3"),
        "profile": ask(MONTHLY, PROFILE, levtype="pl", levelist="1/to/1000", param="60"),
        "series of years": ask(MONTHLY, OVER_MONTHS, year="2020/2021", month="1/to/12", param="167"),
        "profile of years": ask(
            MONTHLY,
            PROFILE,
            levtype="pl",
            levelist="1000/850/500",
            year="2020/2021",
            month="1/2",
            param="130",
        ),
        "path": ask(MONTHLY, PATH),
        "path of years": ask(MONTHLY, PATH_OF_LINE, year="2020/2021", month="1/2/3", param="167"),
    },
    "extremes-dt": {
        "box": ask(EXTREMES, BOX),
        "box with its axes": ask(EXTREMES, {**BOX, "axes": LAT_LON}),
        "polygon": ask(EXTREMES, POLYGON, step="1/2"),
        "polygons": ask(EXTREMES, POLYGONS),
        "cell of a hexagonal grid": ask(EXTREMES, {**POLYGON, "axes": LAT_LON}, date=-10),
        "series with its range": ask(EXTREMES, {**OVER_STEPS, "range": {"start": 0, "end": 3}}, "step"),
        "series with the step as its axis": ask(
            EXTREMES, {**SERIES, "axes": "step", "range": {"start": 0, "end": 10}}, "step"
        ),
        "series at a cell of a hexagonal grid": ask(
            EXTREMES, {**OVER_STEPS, "range": {"start": 0, "end": 3}, "axes": LAT_LON}, "step", date=-10
        ),
        "series of every second step": ask(
            EXTREMES, {**OVER_STEPS, "range": {"start": 1, "end": 10, "interval": 2}}, "step"
        ),
        "series of waves": ask(EXTREMES, OVER_STEPS, stream="wave", date=-14, param="140232", step="0/to/20"),
        "profile": ask(
            EXTREMES, {**PROFILE, "range": {"start": "0", "end": "1000"}}, levtype="pl", param="130"
        ),
        "path": ask(EXTREMES, PATH, step="0"),
        "path through steps": ask(EXTREMES, {**PATH, "points": LINE_3D, "axes": STEPS}, "step"),
        "path through steps and levels": ask(
            EXTREMES,
            {**PATH, "points": [[-1, -1, 1, 1], [1, 1, 10, 100]], "axes": [*STEPS, "levelist"]}
            | {"inflate": "box"},
            "step",
            levtype="pl",
            date="-14",
        ),
    },
    "on-demand-extremes-dt": {
        "box": ask(LOCAL, BOX),
        "box at a part of an hour": ask(LOCAL, BOX, step="0h30m"),
        "box at steps": ask(LOCAL, BOX, step="0h10m/to/1h30m/by/0h10m"),
        "box at half hours": ask(LOCAL, BOX, step="0/to/1h/by/30m"),
        "polygon": ask(LOCAL, POLYGON, step="2h10m/2h20m"),
        "polygons at steps": ask(LOCAL, POLYGONS, step="1/to/9"),
        "series": ask(LOCAL, {**SERIES, "axes": "step", "range": {"start": 0, "end": 10}}, "step"),
        "series of parts of hours": ask(
            LOCAL,
            {**SERIES, "axes": "step", "range": {"start": "0h10m", "end": "1h30m", "interval": "0h10m"}},
            "step",
        ),
        "series of listed steps": ask(LOCAL, OVER_STEPS, step="2h10m/2h20m"),
        "profile": ask(LOCAL, PROFILE, levtype="pl", levelist="1/to/1000", param="133", step="5"),
        "path": ask(LOCAL, PATH),
        "path through parts of hours": ask(
            LOCAL, {**PATH, "points": [[57.5, 355.8, "0h30m"], [56.4, 356.6, "1h0m"]], "axes": STEPS}, "step"
        ),
    },
    "nextgems": {
        "box": ask(NEXTGEMS, BOX),
        "polygons": ask(NEXTGEMS, POLYGONS),
        "series": ask(NEXTGEMS, OVER_DATES, date="20000101/to/20001231"),
        "profile": ask(NEXTGEMS, PROFILE, levtype="pl", levelist="1/to/1000", param="131"),
        "path": ask(NEXTGEMS, PATH),
    },
    # ecmwf/polytope-mars
    "ifs": {
        "box": ask(IFS, BOX),
        "box of members": ask(IFS, BOX, number="1/2/3", step="0/6", param="167"),
        "box of one forecast": ask(FORECAST, BOX),
        "box of two forecasts": ask(FORECAST, BOX, date="20240101/20240102", step="0/6"),
        "box, longitude first": ask(IFS, {**BOX, "axes": LON_LAT}, step="0/to/3"),
        "box without a step": ask(IFS, BOX, "step", format="covjson"),
        "box with levels": ask(
            IFS_LEVELS, {**BOX, "points": [[-0.1, -0.1, 500], [0.1, 0.1, 1000]], "axes": LEVELS}
        ),
        "polygon": ask(IFS, POLYGON, number="1/2", step="0/1"),
        "polygon with numbers": ask(FORECAST, POLYGON, date=0, time=0, expver=1, param=[167], step=0),
        "polygons": ask(IFS, POLYGONS),
        "circle": ask(IFS, CIRCLE),
        "circle at a level": ask(IFS_LEVELS, {**CIRCLE, "center": [[0, 0, 500]], "axes": LEVELS}),
        "position": ask(IFS, POSITION, number="1/to/2"),
        "series with both axes": ask(
            IFS,
            {**OVER_STEPS, "axes": LAT_LON, "range": {"start": 0, "end": 3}},
            "step",
            number="1/to/10/by/2",
        ),
        "position of one forecast": ask(FORECAST, {**POSITION, "points": [[51.5, 0.1]]}, step="0/6/12"),
        "series of one forecast": ask(FORECAST, {**SERIES, "axes": "step"}, step="0/to/6/by/3"),
        "series of points of one forecast": ask(
            FORECAST, {**OVER_STEPS, "points": [[51.5, 0.1], [-33.9, 18.4]]}, step="0/to/24"
        ),
        "series of members": ask(
            IFS, {**SERIES, "axes": "step"}, date=-1, number="1/to/50", step="0/to/160", param="167"
        ),
        "series in a format": ask(
            IFS,
            {**SERIES, "axes": "step", "range": {"start": 0, "end": 12}},
            "step",
            format="covjson",
            date=-1,
        ),
        "series of two runs": ask(IFS, OVER_STEPS, time="0000/1200", step="0/to/3"),
        "profile": ask(IFS_LEVELS, PROFILE, levelist="1/to/1000"),
        "profile of one forecast": ask(FORECAST, PROFILE, levtype="pl", levelist="1000/850/500"),
        "profile with its axis": ask(IFS_LEVELS, {**PROFILE, "axes": "levelist"}, levelist="0/to/1000"),
        "profile of every second level": ask(
            IFS_LEVELS, {**PROFILE, "axes": "levelist", "range": {"start": 0, "end": 1000, "interval": 2}}
        ),
        "path": ask(IFS_LEVELS, PATH, levelist="500"),
        "path of one forecast": ask(FORECAST, PATH_OF_LINE, param="167"),
        "shape file": ask(IFS, {"type": "shapefile", "file": "path/to/shape.shp"}),
    },
    "efas": {
        "box of members": ask(
            FLOODS, BOX, type="pf", date=20240101, step="6/12/18", number="1/2", param="240023/240024"
        ),
        "box of steps": ask(FLOODS, BOX, step="6/12/18"),
        "box of days": ask(FLOODS, BOX, date="20240101/20240102", step="6/12", param="240023/240024"),
        "circle": ask(FLOODS, CIRCLE),
        "polygon": ask(FLOODS, POLYGON, step="6/12"),
        "series of points": ask(
            FLOODS,
            {**OVER_STEPS, "points": [[50.75, 7.1], [50.7, 7.15]]},
            date="20240101/20240102",
            step="6/12",
        ),
        "box of reforecasts": ask(CLIMATOLOGY, BOX, hdate="20250101/20250102", step="6/12"),
        "positions of reforecasts": ask(
            CLIMATOLOGY, POSITION, hdate="20250101/20250102", time="0000/1200", step="6/12"
        ),
        "path of reforecasts": ask(CLIMATOLOGY, PATH_OF_LINE, hdate="20250101/20250102"),
        "profile of reforecasts": ask(
            CLIMATOLOGY,
            PROFILE,
            levtype="pl",
            levelist="1000/850/500",
            hdate="20250101/20250102",
            step="6/12",
        ),
        "series of reforecasts": ask(
            CLIMATOLOGY, {**SERIES, "time_axis": "hdate"}, hdate="20250714/20250715", time="0600/1200"
        ),
    },
    # MeteoSwiss/nwp-fdb-polytope-demo
    "icon": {
        "box": ask(CONTROL, {**BOX, "axes": LON_LAT}),
        "circle": ask(CONTROL, {**CIRCLE, "axes": LON_LAT}, param="TOT_PREC", step=[6, 7, 8], timespan="fs"),
        "polygon": ask(MEMBER, {**POLYGON, "axes": LAT_LON}),
        "polygon, longitude first": ask(MEMBER, {**POLYGON, "shape": SQUARE_LON_LAT, "axes": LON_LAT}),
        "series": ask(
            MEMBER,
            {**OVER_STEPS, "range": {"start": 0, "end": 120}, "axes": LON_LAT},
            "step",
            number=[1, 2, 3],
            model="icon-ch2-eps",
        ),
        "profile": ask(CONTROL, {**PROFILE, "axes": "levelist"}, levtype="pl", levelist=[100, 150, 200]),
        "path": ask(CONTROL, PATH),
    },
}

#: Those that polytope-mars 0.3 cannot take: of earlier documentation, frames, and positions without steps.
NOT_TAKEN: dict[str, dict[str, Keys]] = {
    "climate-dt": {
        "positions at times": ask(CLIMATE, POSITION, time="0000/0600/1200", param="167"),
    },
    "efas": {
        "frame": ask(FLOODS, FRAME),
    },
    "ifs": {
        "frame": ask(IFS, FRAME, time="00:00:00"),
        "series with the earlier name of its axis": ask(
            IFS, {**SERIES, "axis": "step", "range": {"start": 0, "end": 360}}, "step", number="1/to/50"
        ),
        "series of a list of steps": ask(IFS, {**SERIES, "axis": "step", "range": [0, 1, 4]}, "step"),
        "series of one forecast with the earlier name of its axis": ask(
            FORECAST, {**SERIES, "axis": "step"}, step="0/to/10"
        ),
        "path without axes": ask(
            IFS_LEVELS, {"type": "trajectory", "points": [[-1, -1, 1000, 0], [1, 1, 250, 24]]}, "step"
        ),
        "path with short names of its axes": ask(
            IFS_LEVELS, {"type": "trajectory", "points": LINE, "axis": ["lat", "long"]}, levelist="500"
        ),
        "path by its earlier name": ask(IFS, {"type": "path", "points": LINE, "radius": 1}, time="00:00:00"),
        "well-known text": ask(IFS, {"type": "wkt", "shape": "POLYGON ((30 10, 40 40, 20 40, 30 10))"}),
    },
}

#: Those that their publishers show as mistakes.
MISTAKES: dict[str, dict[str, Keys]] = {
    "climate-dt": {
        "series with a step where there is none": ask(CLIMATE, OVER_DATES, step="0/to/3"),
        "polygon with a step where there is none": ask(CLIMATE, POLYGON, step="0/1/2"),
        "polygon with a member where there is none": ask(CLIMATE, POLYGON, number="1/2"),
    },
    "climate-dt-monthly": {
        "series over dates": ask(MONTHLY, OVER_DATES, month="1/to/12"),
    },
    "ifs": {
        "box of three points": ask(IFS, {**BOX, "points": LINE}),
        "box of points with a third value": ask(IFS, {**BOX, "points": [[0, 0, 0], [1, 1, 1]]}),
        "box of one axis": ask(IFS, {**BOX, "axes": ["latitude"], "points": [[-1], [0], [1]]}),
        "box without points": ask(IFS, {"type": "boundingbox"}),
        "polygon without a shape": ask(IFS, {"type": "polygon"}),
        "polygon of one axis": ask(IFS, {**POLYGON, "axes": ["latitude"], "shape": [[-1], [0], [-1]]}),
        "circle of several centres": ask(IFS, {**CIRCLE, "center": LINE}),
        "circle of a centre with too many values": ask(IFS, {**CIRCLE, "center": [[0, 0, 0, 0]]}),
        "circle without a centre": ask(IFS, {"type": "circle", "radius": 1}),
        "circle without a radius": ask(IFS, {"type": "circle", "center": [[0, 0]]}),
        "position at steps": ask(IFS, {**POSITION, "axes": STEPS}),
        "series without a time axis": ask(IFS, SERIES, step="0/to/3"),
        "series with steps twice": ask(IFS, {**OVER_STEPS, "range": {"start": 0, "end": 3}}, step="0/to/3"),
        "series from before the run": ask(IFS, {**OVER_STEPS, "range": {"start": -1, "end": 3}}, "step"),
        "series with the step as an axis": ask(IFS, {**OVER_STEPS, "axes": STEPS}, step="0/to/3"),
        "profile without levels": ask(IFS_LEVELS, PROFILE),
        "path without an inflation": ask(IFS_LEVELS, {"type": "trajectory", "points": LINE, "axes": LAT_LON}),
        "path with too many inflations": ask(IFS_LEVELS, {**PATH, "inflation": [0.1, 0.2, 0.3]}),
        "path of one axis": ask(IFS_LEVELS, {**PATH, "points": [[-1], [0], [1]], "axes": ["latitude"]}),
    },
}


class Published(NamedTuple):
    """A request with a feature, and the kind of data that it is for."""

    name: str
    kind: str
    request: Keys


def flatten(forms: dict[str, dict[str, Keys]]) -> list[Published]:
    return [
        Published(name, kind, request) for kind, named in forms.items() for name, request in named.items()
    ]


FEATURES = flatten(FORMS)
FEATURES_NOT_TAKEN = flatten(NOT_TAKEN)
FEATURE_MISTAKES = flatten(MISTAKES)
