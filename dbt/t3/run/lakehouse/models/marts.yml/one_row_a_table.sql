
    
    select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
      
    
  
    
    

select
    "table" as unique_field,
    count(*) as n_records

from "y"."stats"."shard_fill"
where "table" is not null
group by "table"
having count(*) > 1



  
  
      
    ) dbt_internal_test