"""Requests that people publish, as keys and values: of notebooks, scripts, test suites and request files."""

from __future__ import annotations

from typing import Any

CLIMATE_DT = {
    "class": "d1",
    "dataset": "climate-dt",
    "activity": "projections",
    "experiment": "SSP3-7.0",
    "expver": "0001",
    "generation": "2",
    "model": "IFS-NEMO",
    "realization": "1",
    "type": "fc",
    "stream": "clte",
    "resolution": "standard",
    "levtype": "sfc",
}
MONTHLY = {**CLIMATE_DT, "stream": "clmn", "param": "228004"}
NEXTGEMS = {**CLIMATE_DT, "class": "ng", "activity": "cmip6", "experiment": "hist", "generation": "1"}
NEXTGEMS |= {"model": "ifs-fesom", "resolution": "high", "date": "20000101", "time": "0000", "param": "167"}
del NEXTGEMS["dataset"]
EXTREMES_DT = {
    "class": "d1",
    "dataset": "extremes-dt",
    "expver": "0001",
    "stream": "oper",
    "date": "-7",
    "time": "0000",
    "type": "fc",
    "levtype": "sfc",
    "step": "0",
}
ON_DEMAND = {
    "class": "d1",
    "dataset": "on-demand-extremes-dt",
    "expver": "0099",
    "stream": "oper",
    "date": "20250601",
    "time": 0,
    "type": "fc",
    "levtype": "sfc",
    "georef": "u1516b",
    "param": 167,
}
ICON = {
    "class": "od",
    "stream": "enfo",
    "expver": "0001",
    "model": "icon-ch1-eps",
    "date": "20260409",
    "time": "0000",
    "levtype": "sfc",
    "timespan": "none",
}
REANALYSIS = {"stream": "reanl", "class": "rd", "expver": "r001", "model": "icon-rea-l-ch1", "type": "cf"}
REANALYSIS |= {"time": "0000", "levtype": "sfc", "date": "20100101", "param": "500027"}
EFAS = {
    "class": "ce",
    "expver": "0001",
    "origin": "ecmf",
    "domain": "g",
    "model": "lisflood",
    "levtype": "sfc",
    "param": "240023",
}

#: By collection, the requests that its FDB takes.
ACCEPTED: dict[str, list[Any]] = {
    # destination-earth-digital-twins/polytope-examples, and ecmwf/polytope-mars without the features
    "destine": [
        {**CLIMATE_DT, "date": "20400102", "param": "134/165/166", "time": "0100/0200/0300/0400/0500/0600"},
        {**CLIMATE_DT, "date": "20200101/to/20200107", "param": "167", "time": "0000/to/2300/by/0100"},
        {**CLIMATE_DT, "date": "20200101", "param": ["avg_tprate"], "time": "0000/to/1800/by/0600"},
        {**CLIMATE_DT, "activity": "ScenarioMIP", "date": "20210101", "time": "0000/0600", "param": "2t"},
        {**CLIMATE_DT, "activity": "HighResMIP", "experiment": "cont", "resolution": "high", "levtype": "hl"}
        | {"date": "20200102", "time": "0000/to/2300/by/0100", "levelist": "100", "param": ["100u", "100v"]},
        {**CLIMATE_DT, "levtype": "o2d", "date": "20200102", "time": "0000", "param": ["avg_tos", "avg_zos"]},
        {**CLIMATE_DT, "levtype": "o3d", "date": "20200102", "time": "0000", "param": "avg_thetao"}
        | {"levelist": "1/to/75"},
        {**MONTHLY, "year": "1990/1991", "month": "1/2/3/4/5/6/7/8/9/10/11/12"},
        {**MONTHLY, "year": "1990/to/2014", "month": "1/2/3/4/5/6/7/8/9/10/11/12"},
        {**MONTHLY, "year": "2020/2021", "month": "1/to/12", "experiment": "ssp3-7.0", "resolution": "high"},
        {**CLIMATE_DT, "date": "20400102", "time": "0000", "param": "167", "grid": "O128"}
        | {"interpolation": "nearest lsm"},
        {**CLIMATE_DT, "date": "20400102", "time": "0000", "param": "167", "grid": "O2560"}
        | {"area": "75/-15/30/42.5"},
        {**CLIMATE_DT, "date": "20400102", "time": "0000", "param": "167", "grid": "h16"},
        # As the client writes it.
        "activity: projections\nclass: d1\ndataset: climate-dt\ndate: '20260526'\nexperiment: SSP3-7.0\n"
        "expver: '0001'\ngeneration: '2'\nlevtype: sfc\nmodel: IFS-NEMO\nparam: 151/165/166/167\n"
        "realization: '1'\nresolution: standard\nstream: clte\ntime: '0100'\ntype: fc\n",
        # The month beside the day.
        {**CLIMATE_DT, "activity": "scenariomip", "realization": "2", "resolution": "high"}
        | {"year": "2030", "month": "1", "date": "20300101", "time": "0000", "param": "167"},
        {**EXTREMES_DT, "param": "167"},
        {**EXTREMES_DT, "levtype": "pl", "levelist": "850", "param": "130", "grid": "O2560"},
        {**EXTREMES_DT, "param": "228", "step": "0-1/to/7-8"},
        {**EXTREMES_DT, "stream": "wave", "date": -14, "param": "140232", "step": "0/to/20"},
        {
            **EXTREMES_DT,
            "levtype": "pl",
            "levelist": "1000/to/500/by/-100",
            "param": "z/t",
            "step": "0/to/96",
        },
        {**ON_DEMAND, "step": 12},
        {**ON_DEMAND, "step": "12h15m"},
        {**ON_DEMAND, "date": "20250926", "step": "0/to/1h/by/30m", "georef": "gcgkrb", "param": "167"},
    ],
    "nextgems": [
        {**NEXTGEMS, "date": "20000101/to/20001231"},
        {**NEXTGEMS, "year": "2000", "month": "1"},
    ],
    # ecmwf/polytope-mars and ecmwf/metkit: floods
    "efas": [
        {**EFAS, "stream": "efas", "type": "fc", "date": "20240101", "time": "0000", "step": "6/12/18"},
        {**EFAS, "stream": "efcl", "type": "sfo", "date": "20230101", "time": "12/00/18/06", "step": "6"}
        | {"hdate": "20250103/20250101/20250105/20250102/20250104"},
        {**EFAS, "stream": "efcl", "type": "sfo", "date": "20230101", "domain": "g", "step": 6}
        | {"time": ["0000", "0600"], "hdate": ["20200101", "20200102"]},
        "retrieve,\nDOMAIN=G,DATE=20220501,TIME=0000,EXPVER=0001,CLASS=CE,TYPE=FC,STREAM=EFAS,ORIGIN=ECMF,"
        'LEVTYPE=SFC,STEP=6,MODEL=LISFLOOD,PARAM=260267,\n    target="reference.data"',
    ],
    # ecmwf/metkit: ensembles of other centres
    "tigge": [
        "retrieve,\nclass=ti,date=2023-12-30,expver=prod,grid=0.2/0.2,levtype=sfc,padding=0,param=167,"
        'step=0/to/360/by/6,time=00:00:00,type=pf,number=1,origin=ecmf,\ntarget="reference.data"',
        "retrieve,area=90.0/0.0/-90.0/359.75,class=ti,date=20231224,expver=prod,grid=0.25/0.25,levtype=pl,"
        "padding=0,param=156,step=0,time=0000/1200,type=fc,levelist=250/500/850,origin=rksl,dataset=tigge,\n"
        "    target=reference.data ",
        "retrieve,\nDATE=20130225,TIME=0000,ORIGIN=SRNWPPEPS-DWD-EUA,STEP=3,LEVTYPE=SFC,NUMBER=1,PARAM=166,"
        "EXPVER=test,CLASS=TI,MODEL=LAM,TYPE=PF,STREAM=ENFO,\n    target=reference.data",
    ],
    "s2s": [
        "retrieve,area=40/-180/-40/180,class=s2,date=2024-01-11,expver=prod,levtype=pl,padding=0,param=130,"
        "step=0/to/1104/by/24,stream=enfh,time=00:00:00,type=pf,levelist=200/300/500,number=1,origin=ecmf,"
        "hdate=2004-01-11,target=target.out",
    ],
    # the same: seasonal forecasts, tropical cyclones, the ocean, reports
    "seasonal": [
        "retrieve,\n    class=od,\n    type=fcmax,\n    stream=sfmm,\n    expver=0001,\n    repres=gg,\n"
        "    levtype=sfc,\n    param=167,\n    date=19911001,\n    fcmonth=02/03/04,\n    time=0000,\n"
        "    number=0/1/2,\n    domain=g,\n    system=02,\n    method=01,\n"
        '    source="mod.cl.surface",\n    target="data.reference"',
    ],
    "tracks": [
        "retrieve,\nclass=od,\ntype=tf,\nstream=enfo,\nexpver=0001,\nrepres=bu,\nobstype=32,\n"
        "    date=20060112,\ntime=0000/1200,\ndomain=g,\nduplicates=keep,\ntarget=data.reference ",
    ],
    "ocean": [
        "retrieve,\nDOMAIN=G,LEVTYPE=DP,DATE=20070601,TIME=0000,STEP=288,PARAM=145.151,CLASS=OD,TYPE=OF,"
        "STREAM=OCEA,EXPVER=0001,NUMBER=0,SYSTEM=2,METHOD=1,PRODUCT=TIMS,SECTION=Z,LEVELIST=0.000,"
        'LATITUDE=-9.967,RANGE=264,\ntarget="reference.data"',
        "retrieve,\n    levelist=0/5,\n    section=h,\n    stream=ocea,\n    system=3,\n    method=1,\n"
        "    number=0/to/4,\n    time=00,\n    levtype=dp,\n    product=inst,\n    expver=1,\n"
        "    param=129/130/145,\n    class=od,\n    date=20120101,\n    type=of,\n    step=24/to/96/by/24,\n"
        "    expect=60,\n    database=marsod,\n    target=data.reference",
    ],
    "reports": [
        "retrieve,\n    type=ob,\n    date=-3,\n    time=00,\n    range=1439,\n    target=data.reference "
    ],
    # ecmwf/metkit and ecmwf/earthkit-data, which leave to MARS what it takes for granted
    "mars": [
        "retrieve,         date=2023-12-21,expver=1,grid=0.125/0.125,levtype=sfc,padding=0,param=33.128,"
        'step=0,stream=oper,time=00:00:00,type=fc,use=infrequent,\ntarget="reference.data"',
        "retrieve,\narea=58./-10./35./80,class=od,date=20231231,expver=1,grid=0.1/0.1,levtype=surf,param=2t,"
        'step=0,stream=oper,time=00:00:00/12:00:00,type=fc,repres=gg,\ntarget="reference.data"',
        "retrieve,\n    levtype=pl,\n    level=1000/500,\n    date=20250416,\n    param=t,\n"
        "    accuracy=LOW,\n    target=data.reference ",
        "retrieve,\n date=20250416,\n area=75/60/10/-20,\n grid=2.5/2.5,\n levtype=ml,\n levelist=50,\n"
        " param=248,\n interpolation=bilinear,\n target=data.reference ",
        "retrieve,\n area=39.5/140/39.5/140,\n class=od,\n date=20201101,\n expver=1,\n grid=0.1/0.1,\n"
        " number=1,\n padding=0,\n param=229.140/232.140/245.140,\n step=9,\n stream=waef,\n"
        " time=00/06/12/18,\n type=pf,\n levtype=sfc, target=reference.data \n",
        "retrieve,\n    DOMAIN=EUROATL,LEVTYPE=110,LEVELIST=1,DATE=20040102,TIME=1800,STEP=6,PARAM=33.201,"
        "CLASS=MS,TYPE=FG,STREAM=OPER,EXPVER=0001,COUNTRY=IT,MODEL=HRM,BCMODEL=IFS,ICMODEL=MVOI,\n"
        "    target=reference.data ",
        "retrieve,\nlevtype=pl,\nlevel=1000/500,\ndate=20250416,\nparam=t,\naccuracy=REDUCED,\n"
        "    grid=5/5,\n    target=data.reference ",
        " retrieve,\nclass=od,\ntype=pf,\nstream=ef,\nexpver=0001,\nrepres=sh,\nlevtype=sfc,\n"
        "    param=167/165,\ndate=20250416,\ntime=0000,\nstep=6/12,\nnumber=1/2,\ndomain=g,\n"
        "    resol=n128,\n    area=70.5/-21.0/30.0/40.5,\n    grid=1.5/1.5,\n    target=data.reference",
        "retrieve,\nclass=od,\nstream=da,\ntype=an,\nlevtype=sfc,\nlevelist=off,\nresol=off,\n"
        "    date=20250416,\n    time=00,\n    step=00,\n    param=tcc/10u,\n    repres=gg,\n    format=p,\n"
        "    expver=0001,\n    target=data.reference ",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=oper,type=fc,levtype=ml,levelist=1/to/137,"
        "param=152/130/133,step=0/6\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=enfo,type=pf,levtype=pl,levelist=850/500,"
        "param=130/131,number=1/to/10,step=0/to/24/by/6\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=enfo,type=pf,levtype=sfc,param=167/228,"
        "number=1/2/3,step=6/12\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=wave,type=fc,levtype=sfc,param=229,step=0\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=oper,type=fc,levtype=sfc,"
        "param=246.128/229,step=6\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=oper,type=fc,levtype=pl,levelist=500,"
        "param=130,step=0,packing=so,interpolation=nn\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=lwwv,type=an,levtype=sfc,"
        "param=140229/140232\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=waef,type=pf,levtype=sfc,param=140229,"
        "number=1/to/3,step=0/6\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=enfo,type=ep,levtype=sfc,param=131060,"
        "step=0-24\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=oper,type=fc,levtype=sfc,"
        "param=228/143/142/167/49/121/122,step=0/3/6/12\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=enfo,type=ep,levtype=sfc,param=131060,"
        "step=0-24/12-36/24-48\n",
        "retrieve,class=od,expver=0001,date=20260901,time=0000,stream=oper,type=fc,levtype=sfc,step=0/6,"
        'param=2t/mx2t6,grid=0.25/0.25,area=70/-30/30/40,target="out.grib"\n',
        "retrieve,\n    area=85.000/-180.000/-60.000/180.000,class=od,date=20231003/to/20231003,expver=1,"
        "grid=0.100/0.100,levtype=sfc,padding=0,param=144.128,step=0/to/12/by/1,stream=oper,time=00/12,"
        "type=fc,dataset=mars,\n    target=reference.data ",
        "retrieve,\narea=Europe,class=od,date=2023-12-20,expver=1,grid=0.125/0.125,levtype=sfc,param=22.228,"
        'step=0,stream=oper,time=12:00:00,type=fc,\ntarget="reference.data"',
        "retrieve,\naccuracy=12,area=90.0/0.0/-90.0/359.5,date=20240102,domain=g,grid=0.5/0.5,leve=off,"
        "levtype=sfc,padding=0,param=134/137/165/166/167/168/235,stream=da,style=dissemination,time=00,"
        'type=an,\ntarget="data.reference"',
        "retrieve,\n    DOMAIN=G,LEVTYPE=ML,LEVELIST=1,DATE=20041015,TIME=1200,STEP=0,PARAM=73.210/74.210,"
        "CLASS=RD,TYPE=FC,STREAM=OPER,EXPVER=f36f,\n    target=reference.data",
        "retrieve,\n class=od,type=an,levtype=pl,levelist=0.01/0.7,date=-1,expver=1,domain=g,param=129",
        "retrieve,\n levtype=pl,levelist=0.1/to/0.7/by/0.2,date=2023-045,param=t",
        "retrieve,class=od,date=20230810,diagnostic=1,expver=1,iteration=0,levelist=1,levtype=ml,param=155,"
        "step=0/3/12/24,stream=sens,time=00,type=sg",
        "retrieve,date=20230510,param=2t,levtype=sfc,type=fc,step=0-24/to/48-72/by/24",
        {"stream": "oper", "levtype": "pl", "levellist": "500", "param": "129.128", "step": "0/12"}
        | {
            "time": "00:00:00",
            "date": "20200915",
            "type": "fc",
            "class": "rd",
            "expver": "hsvs",
            "domain": "g",
        },
        {"param": "2t", "levtype": "sfc", "grid": [30, 30], "date": -1},
        {"param": ["2t", "msl"], "levtype": "sfc", "area": [50, -50, 20, 50], "grid": [2, 2]}
        | {"date": "2023-05-10"},
        {"param": "t", "levelist": [925, 850, 700, 500], "levtype": "pl", "date": "20230510"},
        {"param": ["t", "gh"], "levelist": "500", "levtype": "pl", "step": [0, 24, 48], "date": -1},
        {"expect": "any", "param": ["2t", "msl"], "levtype": "sfc", "area": [50, -50, 20, 50], "date": -1},
        {"param": "2t", "levtype": "sfc", "date": "20230510", "time": "0/to/18/by/6"},
        {"class": "od", "expver": "0001", "stream": "oper", "date": "20200513", "time": 1200, "domain": "g"}
        | {"type": "an", "levtype": "sfc", "step": 0, "param": [167, 151]},
    ],
}

#: Of MeteoSwiss/nwp-fdb-polytope-demo. That centre's metkit has models, streams and types of its own.
OWN_METKIT: list[Any] = [
    "retrieve,date=20260409,time=0000,stream=enfo,class=od,expver=0001,model=icon-ch1-eps,type=cf,"
    "levtype=ml,levelist=74/to/80,step=0/to/24/by/1,param=500028,timespan=none\n",
    {**ICON, "type": "pf", "step": "0/to/24/by/1", "param": "500027", "number": "9/10"},
    {**ICON, "type": "cf", "step": 0, "param": "500011"},
    {**ICON, "type": "CF", "step": 0, "param": "500011"},
    {**ICON, "type": "pf", "step": [0, 1, 2], "param": "TOT_PREC", "number": [1, 2, 3]},
    "retrieve,date=20100101,time=0000,stream=reanl,class=rd,expver=r001,model=icon-rea-l-ch1,type=cf,"
    "levtype=sfc,step=0/to/24/by/1,param=500027\n",
    {**ICON, "type": "cf", "step": [6, 7, 8], "param": "TOT_PREC", "timespan": "fs"},
    {**ICON, "type": "cf", "step": "7", "levtype": "ml", "levelist": [1, 2, 3], "param": ["P", "T"]},
    {key: value for key, value in ICON.items() if key != "timespan"}
    | {"type": "cf", "step": ["0/to/24/by/1"], "param": "500027"},
    {**ICON, "type": "ememb", "step": 6, "levtype": "ml", "levelist": [1, 2], "number": 0}
    | {"param": ["500001", "500014"]},
    {**REANALYSIS, "step": "0m/to/1440m/by/10m"},
    {**REANALYSIS, "param": "500480/500481", "step": "2/to/24/by/1"},
    {**REANALYSIS, "step": ["0/to/24/by/1"], "date": "20120101/to/20121231"},
    {**REANALYSIS, "step": [2, 3, 4, 5], "date": ["20200701/to/20200801"], "param": [500014, 500028]}
    | {"levtype": "ml", "levelist": "1/2"},
    {**ICON, "date": "20230201", "time": "0300", "model": "COSMO-1E", "type": "ememb", "number": "0"}
    | {"step": "0", "param": ["500027", "500029"]},
]

#: One that the check lets pass, and the FDB refuses: observations in ecmwf/earthkit-data.
OBSERVATIONS = {
    "database": "fdbdev",
    "class": "rd",
    "type": "oai",
    "stream": "lwda",
    "expver": "xxxx",
    "obsgroup": "CONV",
    "reportype": 16001,
    "obstype": 15,
    "date": [20150601, 20150602],
    "time": "0/to/23/by/1",
    "filter": "'select * where stationid=\"Ams01\"'",
    "domain": "off",
}

#: Requests of the same sources that are refused: the collection, the request, and what is said.
REFUSED: list[tuple[str, Any, str]] = [
    # A slip of the keyboard.
    ("destine", {**ON_DEMAND, "step": "12hm15"}, "key 'step': '12hm15' is not accepted; expected hours (12)"),
    ("destine", {**CLIMATE_DT, "date": "20200101", "param": "2t"}, "the request must also name: time"),
    (
        "mars",
        "retrieve,\n class=od,\n levelist=off,\n date=20250416,\n parm=tcc/10u,\n param=tcc,\n",
        "key 'parm' is not one of the FDB's; did you mean 'param'?",
    ),
    (
        "mars",
        "retrieve,class=od,date=20260901,levtype=pl,levelist=500,param=130,password=xyz\n",
        "key 'password' is not one of the FDB's",
    ),
    (
        "mars",
        "retrieve,class=od,date=20260901,type=fc,levtype=pl,levelist=all,param=130\n",
        "key 'levelist': 'all' is not accepted; the FDB needs each value by itself, or a range a/to/b",
    ),
    ("mars", "retrieve,date=-5/to/-1.,param=2t,levtype=sfc", "'-5/to/-1.' is not a range; expected a/to/b"),
    (
        "mars",
        "retrieve,date=-1,param=2t,levtype=sfc,step=0/to/24/by/3/0-6/to/18-24/by/6",
        "'0/to/24/by/3/0-6/to/18-24/by/6' is a range beside other values; expected one range a/to/b",
    ),
    (
        "mars",
        "retrieve,date=-1,param=2t,levtype=sfc,step=12:30",
        "'12:30' is not accepted; expected hours (12)",
    ),
    ("mars", "retrieve,date=-1,param=2t,levtype=sfc,time=00:30", "HHMM or HH:MM, with minutes 00"),
    ("mars", "retrieve,class=rd,step=all,date=20181101 ", "'all' is not accepted; expected hours"),
    ("mars", "retrieve,class=ti,date=20231226,number=all", "'all' is not accepted; expected a whole"),
    ("mars", "retrieve,\n DATE=JAN,PARAM=155.128,TYPE=CL", "'JAN' is not accepted; expected YYYYMMDD"),
    (
        "mars",
        'retrieve,class=od,param=167/228,target="a.grib"\nretrieve,param=165/143,step=12\n',
        "the text holds several requests; send each of them by itself",
    ),
    (
        "mars",
        "disseminate,    \n  expver          =    80,    \n  class           =    mc,    \n  time = 0/12",
        "the request begins with 'disseminate'; only retrieve may stand before the keys",
    ),
    (
        "mars",
        "retrieve,\narea=90/-180/-90/180,class=od,date=2024-01-01,levtype=sfc,param=mslp,time=00:00",
        "key 'param': 'mslp' is no parameter that the FDB knows; did you mean 'msl'?",
    ),
    (
        "mars",
        " retrieve,\n    class=rd,\n    expver=aaaa,",
        "the request must also name: date, levtype, param",
    ),
    (
        "mars",
        "retrieve,\n    class=ti,\n    date=20250414,\n    origin=all,\n    expver=all,\n    param=2t",
        "key 'expver': 'all' is not accepted; expected a number from 0 to 9999 or four letters and digits",
    ),
    (
        "reports",
        "retrieve,\ndate=20210501,time=2101/to/2400,type=ob",
        "'2101/to/2400' is not a range; expected a/to/b or a/to/b/by/n, where a and b are an hour of the day",
    ),
    (
        "mars",
        "retrieve,class=od,date=20260901,time=0000,stream=enfo,type=pf,levtype=pl,levelist=1000/to/150/by/-25,"
        "param=129/130/131/132,number=1/to/50,step=0/to/360/by/1\n",
        "the request describes 2527000 fields; at most 200000 are accepted",
    ),
    ("mars", {"param": ["2t", "msl"], "levtype": "sfc"}, "the request must also name: date"),
    ("mars", {"variable": ["2t"], "date": "2012-12-12"}, "key 'variable' is not one of the FDB's"),
    (
        "mars",
        {"class": "od", "date": "20170101/to/20170102", "extraction": {"point": [3, 7]}},
        "key 'extraction': {'point': [3, 7]} is not accepted; expected a text, a number or a list of them",
    ),
    ("mars", 'retrieve,date=20231231,target=a,\ntarget="b"', "key 'target' is given twice"),
    ("mars", [{"param": "2t"}, {"param": "msl"}], "the request is a list"),
    ("mars", {"param": "2t", "split_on": "param"}, "key 'split_on' is not one of the FDB's"),
]
