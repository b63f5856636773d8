import pytest, time, psycopg, polars as pl, sqlite3, connectorx, socket
from psycopg import sql
from resources.sql_source import SqlSource
from tests import servers
from urllib.parse import urlsplit, quote
def one(url, sel, key=("id",)):
    t=time.perf_counter()
    try:
        for c in SqlSource(url).read(sel,key):
            if c.rows.width: print("  ",c.rows.schema, c.rows.rows()[:3])
            else: print("RESTART")
    except BaseException as e: print("EXC",type(e).__name__,str(e)[:400])
    print(sel, round(time.perf_counter()-t,2))
def test_sqlite(tmp_path):
    p=tmp_path/"a b%20.db"
    c=sqlite3.connect(p); c.execute("create table t(id integer primary key, n integer, d decimal(10,2), x numeric, s text, dt datetime, da date, b boolean, r real, bl blob, ts timestamp)")
    c.execute("insert into t values(1,null,null,null,null,null,null,null,null,null,null)")
    c.execute("insert into t values(2,5,'12.34','12.345','abc😀','2026-01-01 10:00:00.123','2026-01-01',1,0.1,x'ff','2026-01-01T10:00:00Z')")
    c.execute("insert into t values(3,'text',12,'1e5',5,'garbage',20260101,'true','x','txt',1767225600)")
    c.commit(); c.close()
    u=f"sqlite://{quote(str(p))}"; u2=f"sqlite://{p}"
    for x in (u,u2):
        one(x,"select * from t")
    for q in ["select id, cast(n as text) n, cast(d as text) d, cast(s as text) s from t","select id,n from t where id>1","select id,d from t where id>1","select id,s from t where id>1","select id,dt from t where id=2","select id,da from t where id=2","select id,b from t where id=2","select id,ts from t where id=2","select id,bl from t where id=2","select id, dt from t where id=3", "select * from nope","select id from t where id>100"]: one(u2,q)
    one("sqlite:///nonexistent/x.db","select 1 as id"); one(f"sqlite://{tmp_path}","select 1 as id")
    (tmp_path/"j.db").write_text("not a database at all"*100); one(f"sqlite://{tmp_path}/j.db","select 1 as id from t")
    try: print(SqlSource("sqlite:///nonexistent/x.db").ask("select 1"))
    except BaseException as e: print("EXC",type(e).__name__,e)
    try: print(SqlSource(u2).ask("select 1 from nope"))
    except BaseException as e: print("EXC",type(e).__name__,e)
PW="p@s:s/w%41#é ?&+'\""
def test_my(mariadb_url,mariadb_server):
    db=urlsplit(mariadb_url).path[1:]; port=urlsplit(mariadb_url).port
    servers.mariadb_execute(mariadb_server, "CREATE OR REPLACE USER `o dd@x`@'127.0.0.1' IDENTIFIED BY '%s'"%PW.replace("'","''"), "GRANT ALL ON *.* TO `o dd@x`@'127.0.0.1'")
    U=quote("o dd@x",safe=""); P=quote(PW,safe="")
    print("--- special"); one(f"mysql://{U}:{P}@127.0.0.1:{port}/{db}","select 1 as id")
    try: print(SqlSource(f"mysql://{U}:{P}@127.0.0.1:{port}/{db}").ask("select 1"))
    except BaseException as e: print("EXC",type(e).__name__,e)
    bad=quote("wr@ng/p:w%",safe="")
    print("--- wrong pw"); one(f"mysql://tester:{bad}@127.0.0.1:{port}/{db}","select 1 as id")
    print("--- raw pw"); one(f"mysql://tester:wr@ng/p:w%@127.0.0.1:{port}/{db}","select 1 as id")
    print("--- unk db"); one(f"{mariadb_server}/nodb","select 1 as id")
    print("--- unk tab"); one(mariadb_url,"select * from notab")
    print("--- syntax"); one(mariadb_url,"selec * from notab")
    print("--- port"); one(f"mysql://tester:{bad}@127.0.0.1:1/{db}","select 1 as id")
    print("--- host"); one(f"mysql://tester:{bad}@nohost.invalid:1/{db}","select 1 as id")
    print("--- badport"); one(f"mysql://tester:{bad}@127.0.0.1:99999/{db}","select 1 as id")
    print("--- badport"); one(f"mysql://tester:{bad}@127.0.0.1:abc/{db}","select 1 as id")
    print("--- nodb"); one(f"{mariadb_server}","select 1 as id")
    print("--- nopw"); one(f"mysql://127.0.0.1:{port}/{db}","select 1 as id")
    print("--- query"); one(mariadb_url+"?ssl-mode=disabled","select 1 as id"); one(mariadb_url+"?charset=utf8mb4","select 1 as id")
    print("--- nosel");
    servers.mariadb_execute(mariadb_server, f"create table {db}.s (id int)","CREATE OR REPLACE USER lim@'127.0.0.1' IDENTIFIED BY 'x'", f"GRANT INSERT ON {db}.s TO lim@'127.0.0.1'")
    one(f"mysql://lim:x@127.0.0.1:{port}/{db}","select * from s")
    one(f"mysql://lim:x@127.0.0.1:{port}/mysql","select * from user")
def test_pg(postgres_url):
    p=urlsplit(postgres_url); db=p.path[1:]; port=p.port
    with psycopg.connect(postgres_url,autocommit=True) as c:
        c.execute(sql.SQL("create role {} login password {}").format(sql.Identifier("o dd@x"),sql.Literal(PW)))
        c.execute("create table s(id int)"); c.execute("create role lim login password 'x'")
        print(c.execute("select * from pg_hba_file_rules").fetchall())
    U=quote("o dd@x",safe=""); P=quote(PW,safe="")
    try:
        print("--- special"); one(f"postgresql://{U}:{P}@127.0.0.1:{port}/{db}","select 1 as id")
        try: print(SqlSource(f"postgresql://{U}:{P}@127.0.0.1:{port}/{db}").ask("select 1"))
        except BaseException as e: print("EXC",type(e).__name__,e)
        bad=quote("wr@ng/p:w%",safe="")
        print("--- wrong pw"); one(f"postgresql://{U}:{bad}@127.0.0.1:{port}/{db}","select 1 as id")
        print("--- raw pw"); one(f"postgresql://tester:wr@ng/p:w%@127.0.0.1:{port}/{db}","select 1 as id")
        print("--- unk db"); one(postgres_url+"x","select 1 as id")
        print("--- unk tab"); one(postgres_url,"select * from notab")
        print("--- unk col"); one(postgres_url,"select nocol from s")
        print("--- port"); one(f"postgresql://tester:{bad}@127.0.0.1:1/{db}","select 1 as id")
        print("--- host"); one(f"postgresql://tester:{bad}@nohost.invalid:1/{db}","select 1 as id")
        print("--- badport"); one(f"postgresql://tester:{bad}@127.0.0.1:99999/{db}","select 1 as id")
        print("--- badport"); one(f"postgresql://tester:{bad}@127.0.0.1:abc/{db}","select 1 as id")
        print("--- query"); one(postgres_url+"?sslmode=prefer&application_name=x","select 1 as id"); one(postgres_url+"?sslmode=disable&connect_timeout=5","select 1 as id")
        print("--- nosel"); one(f"postgresql://lim:x@127.0.0.1:{port}/{db}","select * from s")
        print("--- div"); one(postgres_url,"select 1/0 as id"); one(postgres_url,"select 1/(id) as id from (select 0 as id union select 1) x")
    finally:
        with psycopg.connect(postgres_url,autocommit=True) as c: c.execute('drop role "o dd@x"');c.execute('drop role lim')
