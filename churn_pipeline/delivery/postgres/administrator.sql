-- What an administrator of PostgreSQL (14 or newer) does once, in the database for dashboards, before churn publishes to it:
--
--     churn publish --administrator | psql -d DATABASE
--     psql -d DATABASE -v publisher=LOGIN -f administrator.sql
--
-- As a superuser, or as the owner of the database who may create roles. It is all or nothing, and may be run again at any time: nothing
-- that is right is changed, no password is touched. It makes
--
--     the role churn_reader, which may read schema churn and has no login; dashboards' logins become members of it,
--     the pipeline's login, which may make and write tables in that schema and nothing else: no roles, no schemas, no temporary tables,
--     schema churn, which belongs to the administrator, so that nobody else can put anything there or let anybody in,
--     the row that a publication locks while it writes. Nobody but the pipeline may.
--
-- and takes from everybody the right to make temporary tables in this database, and to create in its schema public.
\set ON_ERROR_STOP 1
\if :{?publisher}
\else
\set publisher churn_publisher
\endif

begin read write;
-- Nothing that somebody has put into another schema may be taken for PostgreSQL's own while an administrator is logged in.
set local search_path = pg_catalog, pg_temp;
set local churn.publisher = :'publisher';

do $script$
declare
    publisher constant text := current_setting('churn.publisher');
    reader constant text := 'churn_reader';
    me constant oid := (select oid from pg_roles where rolname = current_user);
    is_superuser constant boolean := (select rolsuper from pg_roles where rolname = current_user);
    database_owner constant oid := (select datdba from pg_database where datname = current_database());
    schema_owner oid;
    item record;
begin
    if publisher in (reader, current_user, 'public') or publisher like 'pg\_%' then
        raise exception 'the pipeline needs a login of its own, and % is not one', publisher;
    end if;
    if not is_superuser and not pg_has_role(me, database_owner, 'usage') then
        raise exception 'database % belongs to %: run this as a superuser or as that role', current_database(), database_owner::regrole;
    end if;

    -- Roles. They belong to the whole server, and may be there for another database.
    if not exists (select from pg_roles where rolname = reader) then
        execute format('create role %I nologin', reader);
    end if;
    if not exists (select from pg_roles where rolname = publisher) then
        execute format('create role %I login', publisher);
    end if;
    for item in
        select rolname, rolsuper,
            concat_ws(
                ' ',
                case when rolcreaterole then 'nocreaterole' end,
                case when rolcreatedb then 'nocreatedb' end,
                case when rolreplication then 'noreplication' end,
                case when rolbypassrls then 'nobypassrls' end
            ) as without
        from pg_roles
        where rolname in (publisher, reader)
    loop
        if item.rolsuper then
            raise exception '% is a superuser: name another login, or first ALTER ROLE % NOSUPERUSER', item.rolname, quote_ident(item.rolname);
        end if;
        if item.without <> '' then
            -- Before PostgreSQL 16 whoever may create roles can give themselves pg_execute_server_program, and with it a shell.
            execute format('alter role %I %s', item.rolname, item.without);
            raise notice '% could do more than it needs; now it is %', item.rolname, item.without;
        end if;
    end loop;
    for item in
        select member.rolname as member, granted.rolname as granted
        from pg_auth_members
        inner join pg_roles as member on member.oid = pg_auth_members.member
        inner join pg_roles as granted on granted.oid = pg_auth_members.roleid
        where member.rolname = reader or (member.rolname = publisher and granted.rolname <> reader)
    loop
        raise warning '% is a member of %, and can do what that role can; unless you mean it: REVOKE % FROM %',
            item.member, item.granted, quote_ident(item.granted), quote_ident(item.member);
    end loop;

    -- The database. Its owner could let anybody in, and change what a superuser's session finds.
    if database_owner in (select oid from pg_roles where rolname in (publisher, reader)) then
        execute format('alter database %I owner to %I', current_database(), current_user);
        raise notice 'database % belongs to % now', current_database(), current_user;
    end if;
    execute format('revoke temporary on database %I from public', current_database());
    execute format('revoke create, temporary on database %I from %I, %I', current_database(), publisher, reader);
    execute format('grant connect on database %I to %I, %I', current_database(), publisher, reader);
    if to_regnamespace('public') is not null then
        execute format('revoke create on schema public from public, %I, %I', publisher, reader);
    end if;

    -- Schema churn. What somebody else has made there may hold triggers that run with the pipeline's rights, or with yours.
    select nspowner into schema_owner from pg_namespace where nspname = 'churn';
    if schema_owner is null then
        create schema churn;
        schema_owner := me;
    elsif schema_owner = (select oid from pg_roles where rolname = publisher) then
        execute format('alter schema churn owner to %I', current_user);
        schema_owner := me;
    elsif schema_owner <> me and not (select rolsuper from pg_roles where oid = schema_owner) then
        raise exception 'schema churn belongs to %', schema_owner::regrole
            using hint = format(
                'Look at what is in it. Then run this as that role, or for the login that has published so far, or give all of it to the new one '
                '(REASSIGN OWNED BY %s TO %I), or drop it.', schema_owner::regrole, publisher
            );
    end if;
    revoke all on schema churn from public;
    execute format('revoke create on schema churn from %I', reader);
    execute format('grant usage, create on schema churn to %I', publisher);
    execute format('grant usage on schema churn to %I', reader);
    for item in
        select grantee::regrole::text as grantee
        from pg_namespace, aclexplode(nspacl)
        where nspname = 'churn' and privilege_type = 'CREATE' and grantee not in (nspowner, (select oid from pg_roles where rolname = publisher))
    loop
        raise warning '% may create in schema churn; unless you mean it: REVOKE CREATE ON SCHEMA churn FROM %', item.grantee, item.grantee;
    end loop;

    -- What an administrator has restored from a backup becomes the pipeline's again; what they have put beside it stays theirs.
    for item in
        with things as (
            select oid, relname as name, relowner as owner, case relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end as kind,
                oid::regclass::text as identity
            from pg_class
            where relnamespace = 'churn'::regnamespace and relkind in ('r', 'p', 'v', 'm') and relname <> 'publication_lock'
            union all
            select oid, proname, proowner, 'routine', oid::regprocedure::text
            from pg_proc
            where pronamespace = 'churn'::regnamespace
        )
        select things.*, owner in (me, schema_owner) or rolsuper as is_administrators,
            owner = (select owner from things where name = 'schema_version') as is_like_the_schemas
        from things
        inner join pg_roles on pg_roles.oid = owner
        where rolname <> publisher
    loop
        if not item.is_administrators then
            raise exception '% % belongs to %', item.kind, item.identity, item.owner::regrole
                using hint = 'Look at what it does. Then drop it, or give it to the login that publishes: ALTER ... OWNER TO.';
        end if;
        if item.is_like_the_schemas then
            execute format('alter %s %s owner to %I', item.kind, item.identity, publisher);
        end if;
    end loop;

    -- The item. Locking it takes the right to change it, which readers have not got; an advisory lock can be taken by anybody.
    if to_regclass('churn.publication_lock') is null then
        create table churn.publication_lock (is_the_row boolean primary key default true check (is_the_row));
        comment on table churn.publication_lock is 'Its one row is locked by whoever publishes, migrates or forgets, until they commit.';
    else
        -- Before anything is written to it: a trigger of somebody else would run with your rights.
        select relowner as owner, rolsuper into item
        from pg_class inner join pg_roles on pg_roles.oid = relowner
        where pg_class.oid = 'churn.publication_lock'::regclass;
        if item.owner not in (me, schema_owner) and not item.rolsuper then
            raise exception 'churn.publication_lock belongs to %', item.owner::regrole
                using hint = 'Nobody but an administrator may own it: drop it and run this again.';
        end if;
    end if;
    for item in
        select distinct case when grantee = 0 then 'public' else grantee::regrole::text end as grantee
        from pg_class, aclexplode(relacl)
        where pg_class.oid = 'churn.publication_lock'::regclass and grantee <> relowner
    loop
        execute format('revoke all on churn.publication_lock from %s', item.grantee);
    end loop;
    insert into churn.publication_lock values (true) on conflict do nothing;
    execute format('grant select, update on churn.publication_lock to %I', publisher);

    -- A grant by somebody else is not taken away by ours, and PostgreSQL only warns.
    if has_database_privilege('public', current_database(), 'temporary') or has_database_privilege(publisher, current_database(), 'create, temporary')
        or has_database_privilege(reader, current_database(), 'create, temporary')
    then
        raise exception 'rights in database % could not be taken away: run this as a superuser', current_database();
    end if;
    if to_regnamespace('public') is not null and has_schema_privilege('public', 'public', 'create') then
        raise warning 'everybody may create in schema public of this database; as a superuser: REVOKE CREATE ON SCHEMA public FROM PUBLIC';
    end if;
end
$script$;

commit;
